/** The crash stub's SHA-256 on this machine (stubs/host/sha256.c), the plain one and the one by SHA extensions, against node:crypto. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, expect, test } from '@jest/globals';
import { oracle } from '../testkit/command-line.js';
import { SeededRandom } from '../testkit/mutate.js';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const program = join(root, 'dist', 'stubs', 'sha256');

beforeAll(() => {
  oracle('make', ['-s', '-C', join(root, 'stubs'), `OUT=${join(root, 'dist', 'stubs')}`, program]);
}, 120_000);

/** Every tail of a block, with and without blocks before it, and what takes many blocks. */
const sizes = [...Array.from({ length: 200 }, (_, size) => size), 4096, 999_999, 1_000_000];

const random = new SeededRandom(7);
const data = Uint8Array.from({ length: 1_000_000 }, () => random.below(256));

test.each(['plain', 'sha-ni'])('%s', (way) => {
  if (way === 'sha-ni' && !/^flags.*\bsha_ni\b/m.test(readFileSync('/proc/cpuinfo', 'utf8'))) {
    console.warn('not run: this CPU has no SHA extensions');
    return;
  }
  const lines = oracle(program, [way, ...sizes.map(String)], data)
    .trim()
    .split('\n');
  expect(lines.map((line) => line.split(' ')[0])).toEqual(
    sizes.map((size) => createHash('sha256').update(data.subarray(0, size)).digest('hex')),
  );
});
