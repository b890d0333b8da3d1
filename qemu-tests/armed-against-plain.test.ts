/**
 * The same kernel on the same machine, booted armed and plain: what the running system sees of the difference is
 * what this file lists, and KASLR hides as much.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from '@jest/globals';
import { readManifest } from '../src/image/payload-folder.js';
import { few } from '../src/testkit/lanes.js';
import { bootPayload, check, guestBlock } from './harness/boot.js';
import { earlyLog } from './harness/early-log.js';
import { factsGuest, readFacts, zeroPage, type E820Entry, type Facts } from './harness/machine-facts.js';
import { payload, type Flavour } from './harness/payloads.js';

const minutes = 60_000;
const armedLabel = 'saveoops';
const plainLabel = 'saveoops-plain';
const page = 4096n;
/** Bytes of the status node's data: docs/protocol.md. In front of them stands struct setup_data. */
const nodeData = 24;
const nodeSize = 16n + BigInt(nodeData);
/** Link-time address of _text. */
const plainText = 0xffff_ffff_8100_0000n;
const largePage = 2n << 20n;

const machines: readonly { flavour: Flavour; cpu: string; about: string; prints: readonly RegExp[] }[] = [
  // Without the hypervisor bit the kernel looks for microcode, as on real hardware.
  {
    flavour: 'amd64',
    cpu: 'Nehalem,-hypervisor',
    about: '4-level paging',
    prints: [/^Console: |printk: console/, /^microcode: /],
  },
  // This kernel has no microcode driver.
  { flavour: 'cloud-amd64', cpu: 'max', about: '5-level paging', prints: [/^Console: |printk: console/] },
];

describe.each(few(1, machines))('$flavour, $about', ({ flavour, cpu, prints }) => {
  let dir = '';
  let regionSize = 0n;
  const boots = new Map<string, Promise<Facts>>();

  /** Boots once for each set of arguments. */
  function boot(label: string, words = '', turn = 1): Promise<Facts> {
    const key = `${label} ${words} ${turn}`;
    const known = boots.get(key);
    if (known !== undefined) return known;
    const booting = bootPayload(dir, {
      label,
      extraAppend: `console=tty0 console=ttyS0,115200 ${words}`.trim(),
      extra: ['-cpu', cpu],
      endAt: [/---\[ end Kernel panic/, /^saveoops: E/],
      edit: sameMediumForBoth,
    }).then(readFacts);
    boots.set(key, booting);
    return booting;
  }

  beforeAll(async () => {
    dir = await payload({ flavour, initrds: [await factsGuest(flavour)], name: `facts-${flavour}` });
    regionSize = BigInt((await readManifest(dir)).memory.size);
  }, 2 * minutes);

  /** The crash region, from the armed system's own memory map: what is reserved there and RAM in the plain one. */
  function regionOf(armed: Facts, plain: Facts): E820Entry {
    const added = armed.e820.filter(
      (entry) => entry.type !== 1 && !plain.e820.some((other) => other.start === entry.start),
    );
    expect(added).toHaveLength(1);
    return added[0] ?? { start: 0n, end: 0n, type: 0 };
  }

  describe.each(['', 'nokaslr'])('with "%s" on the command line', (words) => {
    let armed: Facts;
    let plain: Facts;
    let region: E820Entry;
    beforeAll(async () => {
      armed = await boot(armedLabel, words);
      plain = await boot(plainLabel, words);
      region = check(armed.run, () => regionOf(armed, plain));
    }, 6 * minutes);

    test('the status node says that the system is armed, and how much RAM is reserved', () => {
      const node = armed.readByUser.get('/sys/kernel/boot_params/setup_data/0/data') ?? Buffer.alloc(0);
      check(armed.run, () => {
        expect(String(armed.readByUser.get('/sys/kernel/boot_params/setup_data/0/type'))).toBe(
          '0x53415645\n',
        );
        expect([node.length, node.readUInt32LE(0), node.readUInt32LE(4)]).toEqual([nodeData, 2, 0]);
        expect(node.readBigUInt64LE(8)).toBe(regionSize);
        expect([...plain.readByUser.keys()].filter((path) => path.includes('setup_data'))).toEqual([]);
      });
    });

    test('the memory map is the plain one and an entry for the region', () => {
      check(armed.run, () => {
        expect(region).toMatchObject({ type: 2, start: region.start & -largePage });
        expect(region.end - region.start).toBe(regionSize);
        // The kernel sorts them: where entries overlap, the higher type wins.
        expect(armed.e820).toEqual([...plain.e820, region]);
      });
    });

    test('boot_params differ in the listed bytes only', () => {
      const { bootParams } = armed;
      check(armed.run, () => {
        expect(bootParams.length).toBe(4096);
        const surprising = [...bootParams.keys()]
          .filter((at) => bootParams[at] !== plain.bootParams[at])
          .filter((at) => !allowed.some(({ from, size }) => at >= from && at < from + size))
          .map((at) => `0x${at.toString(16)}: ${String(bootParams[at])} for ${String(plain.bootParams[at])}`);
        expect(surprising).toEqual([]);
        // The node is the page below the region.
        expect(bootParams.readBigUInt64LE(zeroPage.setupData)).toBe(region.start - page);
        expect(plain.bootParams.readBigUInt64LE(zeroPage.setupData)).toBe(0n);
      });
    });

    test('the command lines differ in the file names, and in what the loader tells of its file system', () => {
      check(armed.run, () => {
        const named = armed.cmdline.replace(/ saveoops\.boot=[0-9A-F]{4}-[0-9A-F]{4}$/, '');
        expect(named).not.toBe(armed.cmdline);
        expect(named.replace('BOOT_IMAGE=saveoops.c32', 'BOOT_IMAGE=')).toBe(
          plain.cmdline.replace(/BOOT_IMAGE=\S+/, 'BOOT_IMAGE=').replace(/ initrd=\S+/, ''),
        );
      });
    });

    test('the kernel log is the same until the other CPUs start', () => {
      const expected = comparable(plain).flatMap((line) => expectedOfArmed(line, region));
      check(armed.run, () => {
        expect(comparable(armed).filter((line) => !fromStatusNode(line, region))).toEqual(expected);
        // What the comparison is about has to be in it.
        for (const wanted of [
          /^Console: colour VGA/,
          /^printk: console \[tty0\] enabled/,
          /^printk: console \[ttyS0\] enabled/,
          /^BIOS-e820: /,
          /^ACPI: RSDP /,
          /^RAMDISK: /,
        ]) {
          expect(expected).toContainEqual(expect.stringMatching(wanted));
        }
      });
    });

    test('console and microcode lines are the same to the end', () => {
      const about = (facts: Facts, what: RegExp): readonly string[] =>
        facts.dmesg.filter((line) => what.test(line)).sort();
      check(armed.run, () => {
        for (const what of prints) {
          expect(about(armed, what)).toEqual(about(plain, what));
          expect(about(armed, what)).not.toEqual([]);
        }
      });
    });

    test('memory is less by the region, and nothing else', () => {
      const [a, p] = [memoryOf(armed), memoryOf(plain)];
      const pages = Number(regionSize / page);
      check(armed.run, () => {
        expect(a.sizes).toEqual(p.sizes);
        expect(p.total - a.total).toBe(Number(regionSize / 1024n));
        // The status node has a page of its own.
        expect(a.reserved - p.reserved).toBeGreaterThanOrEqual(0);
        expect(a.reserved - p.reserved).toBeLessThanOrEqual(16);
        // Each page comes with 64 bytes of struct page.
        expect(Math.abs(p.pages - a.pages - (pages - Math.floor(pages / 64)))).toBeLessThanOrEqual(1);
      });
    });

    test('/proc/iomem shows the region as reserved', () => {
      const expected = outer(plain).flatMap((line) => expectedIomem(line, region));
      check(armed.run, () => {
        expect(outer(armed)).toEqual(expected);
      });
    });

    test('an unprivileged user finds no kernel address in /sys/kernel/boot_params', () => {
      check(armed.run, () => {
        expect(armed.userId).toBe('1000');
        expect([...armed.readByUser.keys()]).toEqual(
          expect.arrayContaining([
            '/sys/kernel/boot_params/data',
            '/sys/kernel/boot_params/setup_data/0/data',
            '/sys/kernel/boot_params/setup_data/0/type',
          ]),
        );
        expect(armed.readByUser.get('/sys/kernel/boot_params/data')).toEqual(armed.bootParams);
        for (const [path, bytes] of armed.readByUser) {
          expect([path, kernelAddresses(withoutOthersBytes(bytes))]).toEqual([path, []]);
        }
      });
    });
  });

  test(
    'KASLR: text, direct map and physical base are drawn anew in each boot',
    async () => {
      const seen = [await boot(armedLabel), await boot(armedLabel, '', 2)];
      const fixed = await boot(armedLabel, 'nokaslr');
      const same = (what: (facts: Facts) => bigint): boolean => new Set(seen.map(what)).size === 1;
      const hidden: ((facts: Facts) => bigint)[] = [
        (facts) => facts.text,
        (facts) => facts.pageOffset,
        (facts) => facts.physicalText,
      ];
      // One of some hundred places is drawn: the same twice is possible, three times nearly not.
      if (hidden.some(same)) seen.push(await boot(armedLabel, '', 3));
      for (const what of hidden) {
        expect(seen.map(what)).not.toEqual(seen.map(() => what(seen[0] as Facts)));
        expect(seen.map(what)).not.toEqual(seen.map(() => what(fixed)));
      }
      // Nothing that anyone can read there depends on the draw: each boot shows the same bytes.
      for (const { readByUser } of seen) expect(readByUser).toEqual(seen[0]?.readByUser);
      for (const { text, physicalText } of seen) {
        expect([text % largePage, physicalText % largePage]).toEqual([0n, 0n]);
      }
    },
    9 * minutes,
  );

  test(
    'nokaslr: every address is that of a plain boot',
    async () => {
      const addresses = ({ text, pageOffset, physicalText, iomem }: Facts): unknown => ({
        text,
        pageOffset,
        physicalText,
        kernel: iomem.filter((line) => line.includes('Kernel')),
      });
      const [armed, plain] = [await boot(armedLabel, 'nokaslr'), await boot(plainLabel, 'nokaslr')];
      check(armed.run, () => {
        expect(addresses(armed)).toEqual(addresses(plain));
        expect(armed.text).toBe(plainText);
        expect(armed.pageOffset).toBe(
          cpu.startsWith('max') ? 0xff11_0000_0000_0000n : 0xffff_8880_0000_0000n,
        );
      });
    },
    6 * minutes,
  );

  test(
    '/proc/kallsyms is what Saveoops reads from the kernel file, armed and plain',
    async () => {
      for (const label of [armedLabel, plainLabel]) {
        const { run } = await boot(label, 'nokaslr');
        check(run, () => {
          expect(guestBlock(run, 'kallsyms')).toEqual(['same']);
        });
      }
    },
    6 * minutes,
  );
});

test('the search for kernel addresses finds those that are there, at any alignment', () => {
  for (const value of [
    0xffff_ffff_9240_0000n,
    0xffff_8e12_4000_0000n,
    0xffff_fbad_0000_1000n,
    0xff11_0012_0000_0000n,
  ]) {
    const bytes = Buffer.alloc(4096);
    bytes.writeBigUInt64LE(value, 13);
    bytes.writeBigUInt64LE(value, 0x1c0);
    expect(kernelAddresses(withoutOthersBytes(bytes))).toEqual(
      expect.arrayContaining(['0xd', '0x1c0'].map((at) => `0x${value.toString(16)} at ${at}`)),
    );
  }
  expect(kernelAddresses(Buffer.alloc(64, 0xff))).toEqual([]);
});

/** Bytes of boot_params that may differ, each with its reason. */
const allowed: readonly { readonly from: number; readonly size: number; readonly why: string }[] = [
  // The loader wrote other lines ("Loading vmlinuz..."), and the plain kernel's decompressor writes on the screen too.
  { from: 0x000, size: 2, why: 'screen_info.orig_x, orig_y: where the cursor stands' },
  // "Scratch field for the real-mode kernel" (zero-page.rst): 32-bit entry code has its first stack here, so it
  // holds a return address into the image as loaded, by the loader's choice and not by KASLR's.
  { from: 0x1e4, size: 4, why: 'scratch' },
  { from: zeroPage.e820Entries, size: 1, why: 'e820_entries: one more' },
  { from: zeroPage.setupData, size: 8, why: 'setup_data: the status node' },
  { from: zeroPage.e820Table, size: 128 * zeroPage.e820EntrySize, why: 'e820_table: the region' },
];

/**
 * The disk's signature is made from the files' sizes, and the kernel sees it (EDD): configurations of one fixed
 * size give both boots the same disk.
 */
async function sameMediumForBoth(folder: string): Promise<void> {
  for (const name of ['syslinux.cfg', 'syslx64.cfg']) {
    const path = join(folder, name);
    await writeFile(path, (await readFile(path, 'utf8')).padEnd(4096, '\n'));
  }
}

/** A RAM range of the plain map that contains the region becomes three; anything else stays. */
function withoutRegion(entry: E820Entry, region: E820Entry): E820Entry[] {
  if (entry.type !== 1 || region.start < entry.start || region.end > entry.end) return [entry];
  return [{ ...entry, end: region.start }, region, { ...entry, start: region.end }].filter(
    ({ start, end }) => start < end,
  );
}

/** Of earlyLog() what has no test of its own here: numbers of memoryOf() and the command line are left out. */
function comparable(facts: Facts): readonly string[] {
  return (
    earlyLog(facts.dmesg)
      .map((line) => line.replace(/^((Kernel c|C)ommand line:) .*/, '$1'))
      // Allocated as high as RAM is free, and the region is there.
      .map((line) => line.replace(/^(NODE_DATA\(0\) allocated) .*/, '$1'))
      .map((line) => line.replace(/^Memory: .*/, 'Memory:').replace(/(Total pages:) \d+/, '$1'))
  );
}

const hex = (value: bigint): string => '0x' + value.toString(16).padStart(16, '0');

/** What an armed kernel prints in place of a line of the plain one: RAM ranges come without the region. */
function expectedOfArmed(line: string, region: E820Entry): readonly string[] {
  const [, before = '', from = '', to = '', after = ''] =
    /^(BIOS-e820: \[mem |  node +\d+: \[mem )(0x[0-9a-f]+)-(0x[0-9a-f]+)(\].*)$/.exec(line) ?? [];
  if (from === '' || (before.startsWith('BIOS') && !after.endsWith(' usable'))) return [line];
  const parts = withoutRegion({ start: BigInt(from), end: BigInt(to) + 1n, type: 1 }, region);
  return parts
    .filter(({ type }) => type === 1 || before.startsWith('BIOS'))
    .map(({ start, end, type }) => {
      const kind = type === 1 ? after : after.replace('usable', 'reserved');
      return `${before}${hex(start)}-${hex(end - 1n)}${kind}`;
    });
}

/** Lines that only an armed kernel prints: about the page of the status node, and about the hole in RAM. */
function fromStatusNode(line: string, region: E820Entry): boolean {
  const short = (value: bigint): string => '0x' + value.toString(16).padStart(8, '0');
  const node = region.start - page;
  const nodeRange = `${short(node)}-${short(node + nodeSize - 1n)}`;
  const holePages = Number((region.end - region.start) / page);
  return (
    line === `e820: update [mem ${nodeRange}] usable ==> usable` ||
    line === 'extended physical RAM map:' ||
    line.startsWith('reserve setup_data: [mem ') ||
    line === `On node 0, zone DMA32: ${holePages} pages in unavailable ranges` ||
    line ===
      `PM: hibernation: Registered nosave memory: [mem ${short(region.start)}-${short(region.end - 1n)}]`
  );
}

/** Numbers of the lines "Memory: ..." and "Built 1 zonelists, ... Total pages: ...". KiB and pages. */
function memoryOf(facts: Facts): { total: number; reserved: number; pages: number; sizes: string } {
  const log = facts.dmesg.join('\n');
  const memory = /^Memory: \d+K\/(\d+)K available \((.*bss), (\d+)K reserved/m.exec(log);
  const pages = /Total pages: (\d+)/.exec(log);
  expect([memory, pages]).not.toContain(null);
  return {
    total: Number(memory?.[1]),
    sizes: memory?.[2] ?? '',
    reserved: Number(memory?.[3]),
    pages: Number(pages?.[1]),
  };
}

/**
 * Lines of /proc/iomem without those inside another: the kernel's own place is KASLR's. Also without option ROMs: SeaBIOS gives its
 * working memory at 0xe8000 the header of one (55 aa 40), and where its bytes' sum happens to be 0, one boot in 256, the kernel's
 * probe_roms() takes it for one.
 */
function outer(facts: Facts): readonly string[] {
  return facts.iomem.filter((line) => !line.startsWith(' ') && !line.endsWith(' : Adapter ROM'));
}

function expectedIomem(line: string, region: E820Entry): readonly string[] {
  const [, from = '', to = ''] = /^([0-9a-f]+)-([0-9a-f]+) : System RAM$/.exec(line) ?? [];
  if (from === '') return [line];
  const node = region.start - page;
  return withoutRegion({ start: BigInt('0x' + from), end: BigInt('0x' + to) + 1n, type: 1 }, region)
    .flatMap((part) =>
      part.type === 1 && part.end === region.start
        ? // The kernel lists setup_data apart from other RAM.
          [
            { ...part, end: node },
            { ...part, start: node, end: node + nodeSize },
            { ...part, start: node + nodeSize },
          ]
        : [part],
    )
    .map(({ start, end, type }) => {
      const text = (value: bigint): string => value.toString(16).padStart(8, '0');
      return `${text(start)}-${text(end - 1n)} : ${type === 1 ? 'System RAM' : 'Reserved'}`;
    });
}

/**
 * Where the kernel keeps things (Documentation/x86/x86_64/mm.rst): direct map to CPU entry area with 4-level paging,
 * direct map to vmemmap with 5-level, kernel image and modules. Above and below are holes, whose "addresses" are
 * everywhere: fields of -1 beside fields of 0.
 */
const kernelRanges: readonly (readonly [bigint, bigint])[] = [
  [0xffff_8000_0000_0000n, 0xffff_ff00_0000_0000n],
  [0xff11_0000_0000_0000n, 0xffe0_0000_0000_0000n],
  [0xffff_ffff_8000_0000n, 0xffff_ffff_ff00_0000n],
];

/** Eight bytes, at any alignment, that look like an address of the kernel's. */
function kernelAddresses(bytes: Buffer): readonly string[] {
  const found: string[] = [];
  for (let at = 0; at + 8 <= bytes.length; at++) {
    const value = bytes.readBigUInt64LE(at);
    if (kernelRanges.some(([start, end]) => value >= start && value < end)) {
      found.push(`0x${value.toString(16)} at 0x${at.toString(16)}`);
    }
  }
  return found;
}

/**
 * boot_params without what the monitor (edid_info) and the disks (edd_mbr_sig_buffer) say, which is the same as plain, and without the
 * sizes and offsets at the header's end (init_size, handover_offset, kernel_info_offset), which are the file's, the same in each boot. They look
 * like anything, two that meet like an address. Offsets: zero-page.rst, boot.rst.
 */
function withoutOthersBytes(bytes: Buffer): Buffer {
  if (bytes.length !== 4096) return bytes;
  return Buffer.from(bytes).fill(0, 0x140, 0x1c0).fill(0, 0x260, 0x26c).fill(0, 0x290, 0x2d0);
}
