/**
 * The plain kernel and the composed image on the same machine, both started by firmware (PE), with a random number generator and a
 * TPM: what the kernel says of the machine differs in the crash region alone. armed-against-plain.test.ts does the same for BIOS.
 */
import { beforeAll, describe, expect, test } from '@jest/globals';
import type { ScenarioResult } from '../src/machine/scenario.js';
import { composedImage, limit } from './efi-lane.js';
import { check, guestBlock, serialConsole } from './harness/boot.js';
import { earlyLog, withoutStamp } from './harness/early-log.js';
import { bootEsp } from './harness/esp.js';
import { guestInitramfs, printBlock } from './harness/guest.js';
import { stockKernel } from './harness/payloads.js';
import { withTpm } from './harness/tpm.js';

interface Boot {
  readonly run: ScenarioResult;
  /** Kernel log without time stamps. */
  readonly dmesg: readonly string[];
}

async function boot(image: string): Promise<Boot> {
  const initrd = await guestInitramfs(`${printBlock('dmesg', 'dmesg')}poweroff -f\n`);
  const line = `kernel.efi ${serialConsole} efi=debug nokaslr initrd=\\initrd`;
  const disk = [
    { path: 'kernel.efi', source: image },
    { path: 'initrd', source: initrd },
    { path: 'startup.nsh', source: { text: `fs0:\r\n${line}\r\n` } },
  ];
  const run = await withTpm(async (tpm) =>
    bootEsp(disk, { extra: ['-device', 'virtio-rng-pci', ...tpm], endAt: [/^saveoops: E/] }),
  );
  return { run, dmesg: guestBlock(run, 'dmesg').map(withoutStamp) };
}

/** Lines with places and sizes of memory, which the crash region and the loader's copy of the image move. Each kind has a test. */
const placements: readonly RegExp[] = [
  /^BIOS-e820: /,
  // The kernel's own list, from the one above and the nodes of setup_data.
  /^e820: update |^reserve setup_data: /,
  /^efi: mem\d+: /,
  // Allocated by the kernel's EFI stub, as high as memory is free.
  /^RAMDISK: /,
  // RAM of the list above.
  /^ {2}node +0: |^On node 0, zone DMA32: |^PM: hibernation: Registered nosave memory: /,
  /^Memory: |^Built 1 zonelists, /,
];

/** What is left of the early log; the initrd's table lies where the stub has allocated it. */
const comparable = ({ dmesg }: Boot): readonly string[] =>
  earlyLog(dmesg)
    .filter((line) => !placements.some((kind) => kind.test(line)))
    .map((line) => line.replace(/INITRD=0x[0-9a-f]+/, 'INITRD='));

interface Range {
  readonly start: bigint;
  /** First address behind it. */
  readonly end: bigint;
  readonly what: string;
}

/** Of lines "[mem A-B] WHAT" or "[WHAT|attributes] range=[A-B]". */
function ranges({ dmesg }: Boot, pattern: RegExp): Range[] {
  return dmesg.flatMap((line) => {
    const { start, last, what } = pattern.exec(line)?.groups ?? {};
    if (start === undefined || last === undefined || what === undefined) return [];
    return [{ start: BigInt(start), end: BigInt(last) + 1n, what }];
  });
}

const e820 = (from: Boot): Range[] =>
  ranges(from, /^BIOS-e820: \[mem (?<start>0x[0-9a-f]+)-(?<last>0x[0-9a-f]+)\] (?<what>.*)$/);

/** Ranges of firmware's map that stay taken once the system runs. */
const taken = (from: Boot): Range[] =>
  ranges(
    from,
    /^efi: mem\d+: \[(?<what>[^\]]*)\] range=\[(?<start>0x[0-9a-f]+)-(?<last>0x[0-9a-f]+)\]/,
  ).filter(({ what }) => !/^(Conventional|Loader Code|Loader Data|Boot Code|Boot Data) *\|/.test(what));

const memory = ({ dmesg }: Boot): { readonly total: number; readonly sizes: string } => {
  const found = /^Memory: \d+K\/(\d+)K available \((.*bss), /m.exec(dmesg.join('\n'));
  return { total: Number(found?.[1]), sizes: found?.[2] ?? '' };
};

describe('the composed image against the plain kernel, PE', () => {
  let armed: Boot;
  let plain: Boot;
  /** The crash region with the page of the status node: reserved, and not so in the plain boot. */
  let region: Range;
  beforeAll(async () => {
    armed = await boot(await composedImage({}, 'amd64'));
    plain = await boot(stockKernel('amd64').vmlinuz);
    const known = new Set(e820(plain).map(({ start }) => start));
    const added = e820(armed).filter(({ start, what }) => what === 'reserved' && !known.has(start));
    check(armed.run, () => {
      expect(added).toHaveLength(1);
    });
    region = added[0] ?? { start: 0n, end: 0n, what: '' };
  }, 2 * limit);

  test('the early log is the same but for the listed lines', () => {
    check(armed.run, () => {
      expect(comparable(armed)).toEqual(comparable(plain));
      for (const wanted of [
        /^efi: EFI v2/,
        /^efi: TPMFinalLog=0x.* MEMATTR=0x.* INITRD= RNG=0x.* TPMEventLog=0x/,
        /^secureboot: /,
        /^ACPI: TPM2 /,
        /^extended physical RAM map:/,
      ]) {
        expect(comparable(armed)).toContainEqual(expect.stringMatching(wanted));
      }
    });
  });

  test('what it says later of EFI, TPM, screen and ROMs is the same', () => {
    const about = ({ dmesg }: Boot): readonly string[] =>
      dmesg.filter(
        (line) => /\befi|tpm|BGRT|fb0|Secure|\bROM\b|shadow/i.test(line) && !/^efi: mem/.test(line),
      );
    const comparableLines = (from: Boot): readonly string[] =>
      about(from)
        .map((line) => line.replace(/INITRD=0x[0-9a-f]+/, 'INITRD='))
        .sort();
    check(armed.run, () => {
      expect(comparableLines(armed)).toEqual(comparableLines(plain));
      expect(comparableLines(armed)).toContainEqual(expect.stringMatching(/^efifb: mode is /));
    });
  });

  test('the E820 map is the plain one without the region', () => {
    const expected = e820(plain).flatMap((range) =>
      range.what !== 'usable' || region.start < range.start || region.end > range.end
        ? [range]
        : [{ ...range, end: region.start }, region, { ...range, start: region.end }],
    );
    check(armed.run, () => {
      expect(e820(armed)).toEqual(expected);
    });
  });

  test("firmware's map has one more reserved range, the region", () => {
    const inRegion = ({ start, end }: Range): boolean => start >= region.start && end <= region.end;
    check(armed.run, () => {
      const added = taken(armed).filter(inRegion);
      expect(taken(armed).filter((range) => !inRegion(range))).toEqual(taken(plain));
      expect(added.map(({ what }) => what.trim().split(/ *\|/)[0])).toEqual(['Reserved']);
      expect(added).toMatchObject([{ start: region.start, end: region.end }]);
    });
  });

  test('memory is less by the region', () => {
    const [a, p] = [memory(armed), memory(plain)];
    check(armed.run, () => {
      expect(a.sizes).toBe(p.sizes);
      expect(p.total - a.total).toBe(Number((region.end - region.start) / 1024n));
    });
  });
});
