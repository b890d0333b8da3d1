/** The COM32 module's XXH3 on this machine (stubs/host/xxh3.c), against xxhsum. Every boot under BIOS runs the 32-bit one. */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from '@jest/globals';
import { oracle } from '../testkit/command-line.js';
import { SeededRandom } from '../testkit/mutate.js';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const program = join(root, 'dist', 'stubs', 'xxh3');

/** Around the ends of stripes (64 bytes) and blocks (1024), and what takes many blocks. */
const sizes = [
  ...[241, 255, 256, 257, 319, 320, 321, 1023, 1024, 1025, 1087, 1088, 1089, 2047, 2048, 2049],
  ...[4096, 65_535, 65_536, 65_537, 1_000_000],
];

test('XXH3 of the COM32 module agrees with xxhsum', () => {
  oracle('make', ['-s', '-C', join(root, 'stubs'), `OUT=${join(root, 'dist', 'stubs')}`, program]);
  const random = new SeededRandom(11);
  const data = Uint8Array.from({ length: 1_000_000 }, () => random.below(256));
  const said = oracle(program, sizes.map(String), data).trim().split('\n');
  const wanted = sizes.map((size) =>
    oracle('xxhsum', ['-H3', '-'], data.subarray(0, size)).trim().split(' ').at(-1),
  );
  expect(said).toEqual(wanted);
}, 60_000);
