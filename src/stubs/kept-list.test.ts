/** What the COM32 module makes of after-reset.bin (stubs/com32/kept-list.c), on this machine (stubs/host/kept-list.c). */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, test } from '@jest/globals';
import { keptList, keptRegionBytes } from '../payload/kept-list.js';
import type { KeptPart, KeptRegion } from '../payload/kept-parts.js';
import { oracle } from '../testkit/command-line.js';
import { xxh32 } from '../bytes/digests.js';
import { keptPartNames, maxKeptRegions, regionPlaces } from './shared-layout.js';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const program = join(root, 'dist', 'stubs', 'kept-list');
const module = '../saveoops/6.1.0-57-amd64/saveoops.c32';

beforeAll(() => {
  oracle('make', ['-s', '-C', join(root, 'stubs'), `OUT=${join(root, 'dist', 'stubs')}`, program]);
}, 120_000);

/** What it says of the list: the number of payloads, or "refused". */
function read(list: Uint8Array): string | undefined {
  return oracle(program, [module], list).trim().split('\n').at(-1);
}

const MiB = 1 << 20;
const good: KeptRegion = {
  resetEntry: 0x40,
  regionSize: 112 * MiB,
  parts: keptPartNames.map((name): KeptPart => {
    const sizes = { CRASH_STUB: 0x3000, BOOT_PARAMS: 0x1000, CMDLINE: 100, CRASH_KERNEL: 8 * MiB };
    const place = name === 'CRASH_INITRD' ? 100 * MiB : regionPlaces[name];
    return {
      place,
      size: name === 'CRASH_INITRD' ? 12 * MiB : sizes[name],
      sha256: new Uint8Array(32).fill(7),
    };
  }),
};
const listOf = (...regions: readonly KeptRegion[]): Uint8Array => keptList(regions.map(keptRegionBytes));

/** A part of a region that is not as it should be. */
function withPart(name: (typeof keptPartNames)[number], change: Partial<KeptPart>): KeptRegion {
  const at = keptPartNames.indexOf(name);
  return { ...good, parts: good.parts.map((part, index) => (index === at ? { ...part, ...change } : part)) };
}

/** A field of the list's head changed, and its sum made right again: layout of docs/protocol.md. */
function withField(offset: number, value: number): Uint8Array {
  const bytes = Buffer.from(listOf(good));
  bytes.writeUInt32LE(value, offset);
  bytes.writeUInt32LE(0, 8);
  bytes.writeUInt32LE(xxh32(bytes), 8);
  return bytes;
}

describe('a list', () => {
  test.each([0, 1, 2, maxKeptRegions])('of %d payloads', (count) => {
    expect(read(listOf(...Array.from({ length: count }, () => good)))).toBe(String(count));
  });

  test('of more than it holds: the first of them', () => {
    const list = listOf(...Array.from({ length: maxKeptRegions + 1 }, () => good));
    expect(read(list)).toBe(String(maxKeptRegions));
  });

  test('that ends early, anywhere', () => {
    const list = listOf(good, good);
    for (const size of [0, 1, 15, 16, 223, 224, list.length - 1]) {
      expect([size, read(list.subarray(0, size))]).toEqual([size, 'refused']);
    }
  });

  test('with a flipped bit, in its head, in a region, behind them', () => {
    const list = listOf(good, good);
    for (const at of [0, 5, 9, 12, 16, 20, 24, 30, 60, 230, 500, list.length - 1]) {
      const bytes = Uint8Array.from(list);
      bytes[at] = (bytes[at] ?? 0) ^ 4;
      expect([at, read(bytes)]).toEqual([at, 'refused']);
    }
  });

  test('whose sum is right, and whose head is not', () => {
    expect(read(withField(12, 2))).toBe('refused'); // the second region is empty
    expect(read(withField(12, maxKeptRegions + 1))).toBe('refused');
    expect(read(withField(12, 0xffffffff))).toBe('refused');
    expect(read(withField(4, 1))).toBe('refused');
    expect(read(withField(0, 0))).toBe('refused');
    expect(read(withField(12, 1))).toBe('1');
  });

  test.each<[string, KeptRegion]>([
    ['is empty', { ...good, regionSize: 0 }],
    ['is no multiple of 2 MiB', { ...good, regionSize: 112 * MiB + 4096 }],
    ['is smaller than its parts', { ...good, regionSize: 110 * MiB }],
    ['has a part behind its end', withPart('CRASH_KERNEL', { place: 112 * MiB + 1, size: 0 })],
    ['has a part that goes on behind its end', withPart('CRASH_INITRD', { size: 12 * MiB + 1 })],
    ['has a part that ends beyond 4 GiB', withPart('CRASH_INITRD', { size: 0xffffffff })],
    ['has its crash stub elsewhere', withPart('CRASH_STUB', { place: 0x1000 })],
    ['has no entry', { ...good, resetEntry: 0 }],
    ['is entered behind the crash stub', { ...good, resetEntry: 0x3000 }],
    ['is entered outside the region', { ...good, resetEntry: 0xfffffff0 }],
    ['has its command line elsewhere', withPart('CMDLINE', { place: regionPlaces.CMDLINE + 1 })],
    ['has a command line without an end', withPart('CMDLINE', { size: 0xe000 })],
  ])('with a region that %s', (_, region) => {
    expect(read(listOf(good, region))).toBe('refused');
  });
});

test.each([
  [module, '../saveoops/after-reset.bin'],
  ['/boot/saveoops/6.1/saveoops.c32', '/boot/saveoops/after-reset.bin'],
  ['6.1/saveoops.c32', 'after-reset.bin'],
  ['/6.1/saveoops.c32', '/after-reset.bin'],
])('the list of %s is %s', (name, list) => {
  expect(oracle(program, [name], listOf(good)).trim().split('\n')).toEqual([list, '1']);
});

test.each([
  ['in no folder', 'saveoops.c32'],
  ['with a path that is too long', `/${'x'.repeat(250)}/6.1/saveoops.c32`],
])('a module %s has none', (_, name) => {
  expect(oracle(program, [name], listOf(good)).trim()).toBe('refused');
});
