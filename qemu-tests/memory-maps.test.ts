/** Machines with much memory and with long memory maps: all of their RAM is in /proc/vmcore, and the log comes back. */
import { beforeAll, describe, expect, test } from '@jest/globals';
import type { ScenarioResult } from '../src/machine/scenario.js';
import { few, thorough } from '../src/testkit/lanes.js';
import { bootPayload, check, guestBlock } from './harness/boot.js';
import { e820Type, type E820Entry } from './harness/machine-facts.js';
import { printBlock } from './harness/guest.js';
import { ramAtOneTiB } from './harness/large-memory.js';
import { blockSize, withMemoryMap } from './harness/memory-map-block.js';
import {
  e820Ranges,
  guestPanic,
  ptLoads,
  vmcorePayload,
  vmcoreEnds,
  vmcoreTold,
  type MemoryRange,
} from './vmcore-guests.js';

const limit = 420_000;
const timeout = 360;
const MiB = 1n << 20n;
const page = 4096n;

function checkAllRam(run: ScenarioResult): readonly MemoryRange[] {
  const ram = e820Ranges(guestBlock(run, 'e820'), 'usable');
  expect(ptLoads(run)).toEqual(ram);
  expect(guestBlock(run, 'dead log').join('\n')).toContain(guestPanic);
  return ram;
}

test(
  'RAM above 1 TiB, 16 CPUs, 5-level page tables, KASLR',
  async () => {
    const dir = await vmcorePayload('amd64', 'grep -qw la57 /proc/cpuinfo && echo "guest: la57"');
    const run = await bootPayload(dir, {
      ...ramAtOneTiB(5 << 10),
      cpus: 16,
      timeout,
      endAt: vmcoreEnds,
    });
    check(run, () => {
      expect(run.serial).toContain('guest: la57');
      const ram = checkAllRam(run);
      expect(ram.filter(({ start }) => start >= 1n << 40n).length).toBe(1);
    });
  },
  limit,
);

/** The memory map of the machine as SeaBIOS makes it, without the page of the block that hooks it. */
let map: readonly E820Entry[];
beforeAll(async () => {
  const dir = await vmcorePayload('cloud-amd64');
  const run = await bootPayload(dir, { label: 'saveoops-plain', endAt: [/---\[ end Kernel panic/] });
  const told = guestBlock(run, 'e820');
  const entries = (['usable', 'reserved'] as const).flatMap((kind) =>
    e820Ranges(told, kind).map((range) => ({
      ...range,
      type: kind === 'usable' ? e820Type.ram : e820Type.reserved,
    })),
  );
  const [low, ...rest] = entries.sort((a, b) => (a.start < b.start ? -1 : 1));
  if (low?.start !== 0n || low.type !== e820Type.ram) throw new Error('another map than SeaBIOS makes');
  const end = low.end - BigInt(blockSize);
  map = [{ ...low, end }, { start: end, end: low.end, type: e820Type.reserved }, ...rest];
}, limit);

/** The RAM that a payload is loaded to. */
const isMain = ({ start, end, type }: E820Entry): boolean =>
  type === e820Type.ram && start <= 16n * MiB && end >= 512n * MiB;

/** The same RAM, with reserved holes of a page in the first 640 KiB and in the main part from `from` on. */
function withHoles(from: bigint, distance: bigint, most: number): readonly E820Entry[] {
  const main = map.find(isMain);
  const [low, ...rest] = map.filter((entry) => entry !== main);
  if (main === undefined || low === undefined) throw new Error('another map than SeaBIOS makes');
  const hole = 0x50000n;
  const made: E820Entry[] = [
    { ...low, end: hole },
    { start: hole, end: hole + page, type: e820Type.reserved },
    { ...low, start: hole + page },
    ...rest,
  ];
  let start = main.start;
  for (let at = from; at + page < main.end && made.length < most - 2; at += distance) {
    made.push({ start, end: at, type: e820Type.ram });
    made.push({ start: at, end: at + page, type: e820Type.reserved });
    start = at + page;
  }
  if (made.length === most - 2) {
    // One entry more: the last hole is a page longer, in an entry of its own.
    made.push({ start, end: start + page, type: e820Type.reserved });
    start += page;
  }
  // The RAM that is large enough for the crash region comes last, as it may: maps are not sorted.
  return [...made, { ...main, start }];
}

describe('a memory map full of holes, by INT 15h', () => {
  /** Entries in boot_params; the crash region takes one more. */
  const room = 128;
  /** Above what Syslinux loads the payload to, which it must find in one piece. */
  const from = 128n * MiB;

  test(
    'that just has room for the crash region',
    async () => {
      const holes = withHoles(from, MiB / 2n, room - 1);
      expect(holes.length).toBe(room - 1);
      const dir = await vmcorePayload('cloud-amd64');
      const run = await bootPayload(dir, { endAt: vmcoreEnds, ...(await withMemoryMap(holes)) });
      check(run, () => {
        const ram = checkAllRam(run);
        // Each range of RAM once, and the last one in two parts.
        expect(ram.length).toBe(holes.filter(({ type }) => type === e820Type.ram).length + 1);
        // The crash kernel knows all that is not to be used.
        const reserved = e820Ranges(guestBlock(run, 'log'), 'reserved');
        const unknown = holes
          .filter(({ type }) => type === e820Type.reserved)
          .filter(({ start, end }) => !reserved.some((each) => each.start <= start && end <= each.end));
        expect(unknown).toEqual([]);
      });
    },
    limit,
  );

  test.each(
    few(1, [
      [
        'that has no room for the crash region',
        from,
        MiB / 2n,
        room,
        'E04',
        'the E820 memory map has no free entry',
      ],
      [
        'whose RAM is in pieces that are too small',
        96n * MiB,
        64n * MiB,
        room,
        'E05',
        'no free RAM below 4 GiB for the crash region',
      ],
    ]),
  )(
    '%s: the boot goes on unarmed',
    async (_, first, distance, most, number, why) => {
      const holes = withHoles(first, distance, most);
      const dir = await vmcorePayload('cloud-amd64');
      const run = await bootPayload(dir, {
        endAt: [/---\[ end Kernel panic/, new RegExp(vmcoreTold)],
        ...(await withMemoryMap(holes)),
      });
      check(run, () => {
        expect(run.serial).toContain(`saveoops: ${number} not armed: ${why}`);
        expect(guestBlock(run, 'symbols').length).toBeGreaterThan(0);
        expect(run.serial).toContain(guestPanic);
        expect(run.serial).not.toContain(vmcoreTold);
      });
    },
    limit,
  );
});

/** Ranges upwards, neighbours as one: the kernel makes a range of its own of the status node. */
function joined(ranges: readonly MemoryRange[]): readonly MemoryRange[] {
  return ranges.reduce<MemoryRange[]>((all, { start, end }) => {
    const last = all.at(-1);
    return last?.end === start ? [...all.slice(0, -1), { start: last.start, end }] : [...all, { start, end }];
  }, []);
}

describe('words of the command line', () => {
  const toBios = (lines: readonly string[]): string[] =>
    lines.map((line) => line.replace('user: ', 'BIOS-e820: '));
  const boot = async (words: string, end: RegExp): Promise<ScenarioResult> => {
    const dir = await vmcorePayload('cloud-amd64', printBlock('user', 'dmesg | grep -o "user: \\[mem .*"'));
    return await bootPayload(dir, {
      memory: 512,
      extraAppend: words,
      endAt: [end, /---\[ end Kernel panic/],
    });
  };

  thorough(
    'bad RAM is no place for the crash region, and is not in /proc/vmcore',
    async () => {
      // In the highest place for the region.
      const bad = { start: 0x1fc00000n, end: 0x1fd00000n };
      const run = await boot('memmap=1M$0x1fc00000', new RegExp(vmcoreTold));
      check(run, () => {
        expect(ptLoads(run)).toEqual(joined(e820Ranges(toBios(guestBlock(run, 'user')), 'usable')));
        const regions = e820Ranges(guestBlock(run, 'e820'), 'reserved');
        expect(regions.filter(({ start, end }) => start < bad.end && bad.start < end)).toEqual([]);
        expect(guestBlock(run, 'dead log').join('\n')).toContain(guestPanic);
      });
    },
    limit,
  );

  test(
    'a map that makes RAM of the crash region: the boot goes on unarmed',
    async () => {
      // The guest does not get to its panic: this map has lost the tables of the interrupt hardware.
      const run = await boot('memmap=exactmap memmap=639K@0 memmap=500M@1M', /guest: user ends/);
      check(run, () => {
        expect(run.serial).toContain(
          'saveoops: E12 not armed: memmap= on the command line uses the crash region',
        );
        expect(e820Ranges(toBios(guestBlock(run, 'user')), 'usable').length).toBeGreaterThan(1);
      });
    },
    limit,
  );
});
