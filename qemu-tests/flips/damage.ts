/** Damage in the crash region of a running machine: where, what, and what must come of it. Pure. */
import { alignDown } from '../../src/bytes/align.js';
import type { Manifest } from '../../src/payload/manifest.js';
import { regionPlaces } from '../../src/stubs/shared-layout.js';
import { SeededRandom } from '../../src/testkit/mutate.js';

/** Who stops the capture: the hook's sum, or one of the crash stub's digests; 'harmless': nothing, and nobody need. */
export type Catcher = 'hook' | 'boot_params' | 'crash kernel' | 'crash initrd' | 'notes' | 'harmless';

/** A part of the region; offsets are from the region's start, bytes. */
export interface Band {
  readonly name: string;
  readonly start: number;
  readonly end: number;
  readonly catcher: Catcher;
}

/** All of the region, in order, without gaps. */
export function bandsOf({ memory, regions, crash }: Pick<Manifest, 'memory' | 'regions' | 'crash'>): Band[] {
  const sizeOf = (name: string): number => {
    const found = regions.find((region) => region.name === name);
    if (found === undefined) throw new Error(`no region ${name}`);
    return found.size;
  };
  const p = regionPlaces;
  const notes = p.NOTES + sizeOf('notes');
  const kernel = p.CRASH_KERNEL + sizeOf(crash.samePrimary ? 'primary' : 'crash-kernel');
  const initrdSize = sizeOf('crash-initrd');
  const initrd = alignDown(memory.size - initrdSize, 4096);
  const stub = p.CRASH_STUB + sizeOf('crash-stub');
  const ends: readonly (readonly [string, number, Catcher])[] = [
    ['crash stub', stub, 'hook'],
    ['unused, behind the crash stub', p.CRASH_TABLE, 'hook'],
    ['crash table', p.PAGE_TABLES, 'hook'],
    ['page tables', p.PAGE_TABLES_END, 'hook'],
    ['unused, behind the page tables', p.STATE, 'harmless'],
    ['state page', p.WINDOW_TABLE, 'harmless'],
    ['scratch tables, stack', p.BOOT_PARAMS, 'harmless'],
    ['boot_params, command line', p.ELFCOREHDR, 'boot_params'],
    ['ELF headers, written at the crash', p.NOTES, 'harmless'],
    ['notes', notes, 'notes'],
    ['notes, written at the crash', p.NOTES_END, 'harmless'],
    ['backup, written at the crash', p.CRASH_KERNEL, 'harmless'],
    ['crash kernel', kernel, 'crash kernel'],
    ['RAM of the crash kernel', initrd, 'harmless'],
    ['crash initrd', initrd + initrdSize, 'crash initrd'],
    ['behind the crash initrd', memory.size, 'harmless'],
  ];
  let start = 0;
  return ends
    .map(([name, end, catcher]) => {
      const band = { name, start, end, catcher };
      start = end;
      return band;
    })
    .filter((band) => band.end > band.start);
}

export interface Damage {
  readonly name: string;
  readonly kind: 'bit' | '64 bytes' | '4096 bytes';
  /** In the region. */
  readonly offset: number;
  readonly size: number;
  readonly change: (old: Buffer) => Buffer;
  /** Where its first byte falls. */
  readonly band: Band;
  /** Whoever may catch it; 'harmless' alone when nothing that matters is hit. */
  readonly catchers: readonly Catcher[];
}

/** Fields of the state page (struct state, stubs/crash/dead-kernel.h) that the stub must not believe. */
const stateFields = [
  ['entered', 0],
  ['native_crash_shutdown', 96],
] as const;

/** Entries of the stub's tables without which it is not mapped, or its window leads elsewhere (stubs/entry/arm.c). */
const tableEntries = [
  ['of the first GiB', 4096],
  ["of the window's table", 2 * 4096],
  ['of the first 2 MiB', 3 * 4096],
] as const;

/**
 * `count` flipped bits, half of them anywhere in the region, half spread over its bands; flips of what the state page holds and
 * of the prepared tables' first entries; a fifth of `count` overwritten runs of 64 bytes, and as many of 4096. The same
 * seed gives the same.
 */
export function damages(bands: readonly Band[], count: number, seed: number): readonly Damage[] {
  const random = new SeededRandom(seed);
  const size = bands.at(-1)?.end ?? 0;
  const somewhere = (index: number): number => {
    if (index % 2 === 0) return random.below(size);
    const band = bands[(index >> 1) % bands.length] ?? { start: 0, end: size };
    return band.start + random.below(band.end - band.start);
  };
  const flips = Array.from({ length: count }, (_, index) =>
    flip(bands, somewhere(index), random.below(8), String(index)),
  );
  const known = stateFields.flatMap(([field, offset]) =>
    [0, 6].map((bit) => flip(bands, regionPlaces.STATE + offset, bit, `state ${field}`)),
  );
  const tables = tableEntries.flatMap(([entry, offset]) => {
    const at = regionPlaces.PAGE_TABLES + offset;
    // Present, and bit 12 of the address.
    return [flip(bands, at, 0, `entry ${entry}`), flip(bands, at + 1, 4, `entry ${entry}`)];
  });
  const runs = ([64, 4096] as const).flatMap((length) =>
    Array.from({ length: Math.ceil(count / 5) }, (_, index) => {
      const offset = Math.min(somewhere(index + 1), size - length);
      const bytes = Buffer.from(Array.from({ length }, () => random.below(256)));
      return stray(bands, offset, bytes, index);
    }),
  );
  return [...flips, ...known, ...tables, ...runs];
}

function flip(bands: readonly Band[], offset: number, bit: number, label: string): Damage {
  const [band] = bandsAt(bands, offset, 1);
  if (band === undefined) throw new RangeError(`offset ${offset}`);
  return {
    name: `flip ${label}: bit ${bit} at 0x${offset.toString(16)}, ${band.name}`,
    kind: 'bit',
    offset,
    size: 1,
    change: (old) => Buffer.from([old.readUInt8(0) ^ (1 << bit)]),
    band,
    catchers: [band.catcher],
  };
}

function stray(bands: readonly Band[], offset: number, bytes: Buffer, index: number): Damage {
  const hit = bandsAt(bands, offset, bytes.length);
  const [band] = hit;
  if (band === undefined) throw new RangeError(`offset ${offset}`);
  const catchers = [...new Set(hit.map(({ catcher }) => catcher))].filter((each) => each !== 'harmless');
  return {
    name: `write ${index}: ${bytes.length} bytes at 0x${offset.toString(16)}, ${band.name}`,
    kind: bytes.length === 64 ? '64 bytes' : '4096 bytes',
    offset,
    size: bytes.length,
    change: () => bytes,
    band,
    catchers: catchers.length > 0 ? catchers : ['harmless'],
  };
}

function bandsAt(bands: readonly Band[], offset: number, size: number): readonly Band[] {
  return bands.filter(({ start, end }) => start < offset + size && offset < end);
}
