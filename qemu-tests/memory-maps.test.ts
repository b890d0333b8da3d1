/** Machines with much memory and with long memory maps: all of their RAM is in /proc/vmcore, and the log comes back. */
import { describe, expect, test } from '@jest/globals';
import { PT_LOAD } from '../src/formats/elf/elf-tables.js';
import { parseElf } from '../src/formats/elf/parse-elf.js';
import { SaveoopsError } from '../src/errors.js';
import { readManifest } from '../src/image/payload-folder.js';
import type { GdbRemote } from '../src/machine/gdb-remote.js';
import { runTo } from '../src/machine/kernel-debugger.js';
import type { ScenarioResult } from '../src/machine/scenario.js';
import { bootPayload, check, guestBlock } from './harness/boot.js';
import { e820Type, readE820, zeroPage, type E820Entry } from './harness/machine-facts.js';
import {
  e820Ranges,
  guestPanic,
  vmcoreHead,
  vmcorePayload,
  vmcoreEnds,
  vmcoreTold,
  type MemoryRange,
} from './vmcore-guests.js';

const limit = 420_000;
const timeout = 360;
/** Milliseconds. */
const arrival = 200_000;
const MiB = 1n << 20n;

function checkAllRam(run: ScenarioResult): readonly MemoryRange[] {
  const ram = e820Ranges(guestBlock(run, 'e820'), 'usable');
  const [, ...loads] = parseElf(vmcoreHead(run), '/proc/vmcore').segments.filter(
    ({ p_type }) => p_type === PT_LOAD,
  );
  const shown = loads.map(({ p_paddr, p_memsz }) => ({ start: p_paddr, end: p_paddr + BigInt(p_memsz) }));
  expect(shown.sort((a, b) => (a.start < b.start ? -1 : 1))).toEqual(ram);
  expect(guestBlock(run, 'dead log').join('\n')).toContain(guestPanic);
  return ram;
}

test(
  'RAM above 4 GiB, 16 CPUs, 5-level page tables, KASLR',
  async () => {
    const dir = await vmcorePayload('amd64', 'grep -qw la57 /proc/cpuinfo && echo "guest: la57"');
    const run = await bootPayload(dir, {
      memory: 5 << 10,
      cpus: 16,
      timeout,
      extra: ['-cpu', 'max'],
      endAt: vmcoreEnds,
    });
    check(run, () => {
      expect(run.serial).toContain('guest: la57');
      const ram = checkAllRam(run);
      expect(ram.filter(({ start }) => start >= 4096n * MiB).length).toBe(1);
    });
  },
  limit,
);

/** Runs to the entry stub's first instruction and puts another memory map in the primary's boot_params. */
async function changeMap(
  gdb: GdbRemote,
  dir: string,
  change: (map: readonly E820Entry[]) => readonly E820Entry[],
): Promise<void> {
  const { debug } = await readManifest(dir);
  const entry = 0x100000n + BigInt(debug.stub);
  await gdb.setBreakpoint(entry);
  for (;;) {
    const stop = await runTo(gdb, entry, Date.now() + arrival, 'the entry stub');
    const { rsi } = await gdb.registers();
    const bootParams = await readBootParams(gdb, rsi);
    // Syslinux's own code passes here, too, before it moves the image to its place.
    if (bootParams === undefined) {
      await gdb.stepFrom(entry, stop);
      continue;
    }
    await gdb.removeBreakpoint(entry);
    const map = change(readE820(bootParams));
    const table = Buffer.alloc(map.length * zeroPage.e820EntrySize);
    map.forEach(({ start, end, type }, index) => {
      const at = index * zeroPage.e820EntrySize;
      table.writeBigUInt64LE(start, at);
      table.writeBigUInt64LE(end - start, at + 8);
      table.writeUInt32LE(type, at + 16);
    });
    await gdb.setPhysicalMemory(true);
    await gdb.writeMemory(rsi + BigInt(zeroPage.e820Entries), Buffer.from([map.length]));
    await gdb.writeMemory(rsi + BigInt(zeroPage.e820Table), table);
    await gdb.setPhysicalMemory(false);
    await gdb.detach();
    return;
  }
}

/** The 4096 bytes at an address when they are boot_params: the setup header's magic is in its place. */
async function readBootParams(gdb: GdbRemote, address: bigint): Promise<Buffer | undefined> {
  await gdb.setPhysicalMemory(true);
  try {
    const page = await gdb.readMemory(address, 4096);
    return page.toString('latin1', 0x202, 0x206) === 'HdrS' ? page : undefined;
  } catch (error) {
    // An address without memory behind it.
    if (error instanceof SaveoopsError) return undefined;
    throw error;
  } finally {
    await gdb.setPhysicalMemory(false);
  }
}

/**
 * A map of `count` entries for the same machine: reserved holes of a page in the first 640 KiB and in RAM that no loader
 * uses. The RAM that is large enough for the crash region comes last, as it may: maps are not sorted.
 */
function manyRanges(map: readonly E820Entry[], count: number): readonly E820Entry[] {
  const isMain = ({ start, end, type }: E820Entry): boolean =>
    type === e820Type.ram && start <= 128n * MiB && end >= 512n * MiB;
  const main = map.find(isMain);
  const [low, ...rest] = map.filter((entry) => entry !== main);
  if (main === undefined || low === undefined) throw new Error('another map than SeaBIOS makes');
  const hole = 0x50000n;
  const made: E820Entry[] = [
    { ...low, end: hole },
    { start: hole, end: hole + 4096n, type: e820Type.reserved },
    { ...low, start: hole + 4096n },
    ...rest,
  ];
  let start = main.start;
  for (let at = 128n * MiB; made.length < count - 2; at += MiB / 2n) {
    made.push({ start, end: at, type: e820Type.ram });
    made.push({ start: at, end: at + 4096n, type: e820Type.reserved });
    start = at + 4096n;
  }
  if (made.length === count - 2) {
    // One entry more: the last hole is a page longer, in an entry of its own.
    made.push({ start, end: start + 4096n, type: e820Type.reserved });
    start += 4096n;
  }
  return [...made, { ...main, start }];
}

describe('a memory map of many ranges', () => {
  /** Entries in boot_params; the crash region makes three of one. */
  const room = 128;

  test(
    'that just has room for the crash region',
    async () => {
      const count = room - 2;
      const dir = await vmcorePayload('cloud-amd64');
      let before: readonly E820Entry[] = [];
      const run = await bootPayload(dir, {
        endAt: vmcoreEnds,
        debug: async (gdb) => {
          await changeMap(gdb, dir, (map) => (before = manyRanges(map, count)));
        },
      });
      check(run, () => {
        expect(before.length).toBe(count);
        const ram = checkAllRam(run);
        // Each range of RAM once, and the last one in two parts.
        expect(ram.length).toBe(before.filter(({ type }) => type === e820Type.ram).length + 1);
        // The crash kernel knows all that is not to be used.
        const reserved = e820Ranges(guestBlock(run, 'log'), 'reserved');
        const unknown = before
          .filter(({ type }) => type === e820Type.reserved)
          .filter(({ start, end }) => !reserved.some((each) => each.start <= start && end <= each.end));
        expect(unknown).toEqual([]);
      });
    },
    limit,
  );

  test(
    'that has no room for the crash region: the boot goes on unarmed',
    async () => {
      const count = room - 1;
      const dir = await vmcorePayload('cloud-amd64');
      const run = await bootPayload(dir, {
        endAt: [/---\[ end Kernel panic/, new RegExp(vmcoreTold)],
        debug: (gdb) => changeMap(gdb, dir, (map) => manyRanges(map, count)),
      });
      check(run, () => {
        expect(run.serial).toContain('saveoops: E04 not armed: the E820 memory map has no free entry');
        expect(guestBlock(run, 'symbols').length).toBeGreaterThan(0);
        expect(run.serial).toContain(guestPanic);
        expect(run.serial).not.toContain(vmcoreTold);
      });
    },
    limit,
  );
});
