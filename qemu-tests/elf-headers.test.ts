/**
 * The ELF core file that the crash kernel makes of what the crash stub wrote: two independent readers find nothing
 * wrong with it, and it says of the dead machine what that machine said of itself.
 */
import { open } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { expect, test } from '@jest/globals';
import { execa } from 'execa';
import { PT_LOAD, PT_NOTE } from '../src/formats/elf/elf-tables.js';
import { parseElf, type ElfSegment } from '../src/formats/elf/parse-elf.js';
import { readManifest } from '../src/image/payload-folder.js';
import type { ScenarioResult } from '../src/machine/scenario.js';
import { bootPayload, check, guestBlock, serialConsole } from './harness/boot.js';
import { injectorFor } from './inject.js';
import {
  e820Ranges,
  guestSymbol,
  vmcoreHead,
  vmcorePayload,
  vmcoreEnds,
  type MemoryRange,
} from './vmcore-guests.js';

const limit = 300_000;
const ET_CORE = 4;
const EM_X86_64 = 62;

/** RAM by the firmware, as a plain kernel on the same machine got it. */
let firmware: Promise<readonly MemoryRange[]> | undefined;
async function plainRam(dir: string): Promise<readonly MemoryRange[]> {
  const plain = await bootPayload(dir, { label: 'saveoops-plain', endAt: [/---\[ end Kernel panic/] });
  return e820Ranges(guestBlock(plain, 'e820'), 'usable');
}

/** What a reader prints, on both its outputs, about the head in a file as long as the whole core (with a hole). */
async function said(reader: string, args: readonly string[], run: ScenarioResult): Promise<string> {
  const core = join(dirname(run.serialLog), 'core');
  const file = await open(core, 'w');
  await file.write(vmcoreHead(run));
  await file.truncate(Number(guestBlock(run, 'size')[0]));
  await file.close();
  const { all } = await execa(reader, [...args, core], { all: true });
  return all;
}

const complaints = (text: string): readonly string[] =>
  text.split('\n').filter((line) => /warning|error|invalid|corrupt|cannot/i.test(line));

const sizeOf = (ranges: readonly MemoryRange[]): bigint =>
  ranges.reduce((sum, { start, end }) => sum + end - start, 0n);

interface Expected {
  /** Virtual addresses of _text and _end. */
  readonly text: bigint;
  readonly end: bigint;
  /** RAM that the dead kernel had. */
  readonly ram: readonly MemoryRange[];
}

async function checkCore(
  dir: string,
  run: ScenarioResult,
  expected: Expected,
): Promise<readonly ElfSegment[]> {
  const { primary } = await readManifest(dir);
  const plain = await said('readelf', ['-a', '-W'], run);
  const elfutils = await said('eu-readelf', ['-a'], run);
  return check(run, () => {
    expect(complaints(plain)).toEqual([]);
    expect(complaints(elfutils)).toEqual([]);
    expect(plain).toMatch(/Type: +CORE \(Core file\)/);
    expect(elfutils).toMatch(/Type: +CORE \(Core file\)/);
    expect(elfutils).toContain(`OSRELEASE=${primary.release}`);
    const { header, segments } = parseElf(vmcoreHead(run), '/proc/vmcore');
    expect([header.e_type, header.e_machine]).toEqual([ET_CORE, EM_X86_64]);
    expect(segments.map((each) => each.p_type)).toEqual([
      PT_NOTE,
      PT_LOAD,
      ...expected.ram.map(() => PT_LOAD),
    ]);
    const [, ...loads] = segments;
    const [text, ...ram] = loads;
    // The crash kernel makes the PT_NOTE of its own; Linux 6.12 aligns it to 4.
    expect(loads.map((each) => each.p_align)).toEqual(loads.map(() => 0n));
    expect([text?.p_vaddr, text?.p_memsz]).toEqual([expected.text, Number(expected.end - expected.text)]);
    expect(guestBlock(run, 'banner')[0]).toMatch(new RegExp(`^Linux version ${primary.release} `));
    expect(ram.map(({ p_paddr, p_memsz }) => ({ start: p_paddr, end: p_paddr + BigInt(p_memsz) }))).toEqual(
      expected.ram,
    );
    // One direct map, so one distance from physical to virtual.
    expect(new Set(ram.map(({ p_vaddr, p_paddr }) => p_vaddr - p_paddr)).size).toBe(1);
    for (const each of segments) expect(each.p_filesz).toBe(each.p_memsz);
    return segments;
  });
}

test(
  'of a system that was up',
  async () => {
    const dir = await vmcorePayload('amd64');
    const { memory } = await readManifest(dir);
    const run = await bootPayload(dir, { cpus: 2, endAt: vmcoreEnds });
    const ram = e820Ranges(guestBlock(run, 'e820'), 'usable');
    const [, text] = await checkCore(dir, run, {
      text: guestSymbol(run, '_text'),
      end: guestSymbol(run, '_end'),
      ram,
    });
    firmware ??= plainRam(dir);
    const before = await firmware;
    check(run, () => {
      const code = /^ *([0-9a-f]+)-[0-9a-f]+ : Kernel code$/m.exec(guestBlock(run, 'iomem').join('\n'));
      expect(text?.p_paddr).toBe(BigInt(`0x${code?.[1] ?? '0'}`));
      // The crash region is what is missing of the firmware's RAM, and nothing else.
      expect(sizeOf(before) - sizeOf(ram)).toBe(BigInt(memory.size));
    });
  },
  limit,
);

test(
  'of a kernel in its first C function',
  async () => {
    const dir = await vmcorePayload('amd64');
    const injector = await injectorFor(dir);
    let kaslrOffset = 0n;
    const run = await bootPayload(dir, {
      cpus: 2,
      extraAppend: serialConsole,
      endAt: vmcoreEnds,
      debug: async (gdb) => {
        ({ kaslrOffset } = await injector.panicAt(gdb, 'start_kernel', 'before everything'));
      },
    });
    firmware ??= plainRam(dir);
    const before = await firmware;
    const { memory } = await readManifest(dir);
    await checkCore(dir, run, {
      text: injector.symbol('_text') + kaslrOffset,
      end: injector.symbol('_end') + kaslrOffset,
      ram: withoutRegion(before, BigInt(memory.size), run),
    });
  },
  limit,
);

/** The crash kernel's own map shows where the region is: the only RAM above 1 MiB that it has. */
function withoutRegion(
  ram: readonly MemoryRange[],
  size: bigint,
  run: ScenarioResult,
): readonly MemoryRange[] {
  const own = e820Ranges(guestBlock(run, 'log'), 'usable').filter(({ start }) => start >= 0x100000n);
  const end = own[0]?.end ?? 0n;
  const region = { start: end - size, end };
  return ram.flatMap((range) =>
    range.start < region.end && region.start < range.end
      ? [
          { start: range.start, end: region.start },
          { start: region.end, end: range.end },
        ].filter((rest) => rest.start < rest.end)
      : [range],
  );
}
