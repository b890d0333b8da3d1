import { createHash } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import { sha256 as nobleSha256 } from '@noble/hashes/sha2.js';
import { oracle } from '../testkit/command-line.js';
import { sha256, sha256Hex, xxh3, xxh32 } from './digests.js';

/** Lengths around the block sizes of both digests (64 and 16 bytes) and the 64 KiB of a piece, and one of some blocks. */
const inputs = [0, 1, 15, 16, 17, 31, 55, 56, 63, 64, 65, 4097, 65_535, 65_536, 65_537, 131_077, 100_001].map(
  (size) => Uint8Array.from({ length: size }, (_, i) => (i * 131 + (i >> 8)) & 0xff),
);

describe('digests', () => {
  test('SHA-256 agrees with @noble/hashes, node:crypto and sha256sum', () => {
    for (const bytes of inputs) {
      const hex = sha256Hex(bytes);
      expect(Buffer.from(sha256(bytes)).toString('hex')).toBe(hex);
      expect(Buffer.from(nobleSha256(bytes)).toString('hex')).toBe(hex);
      expect(createHash('sha256').update(bytes).digest('hex')).toBe(hex);
    }
    const last = inputs.at(-1) ?? new Uint8Array();
    expect(oracle('sha256sum', ['-'], last).split(' ')[0]).toBe(sha256Hex(last));
  });

  test('XXH32 agrees with xxhsum', () => {
    for (const bytes of inputs) {
      const said = oracle('xxhsum', ['-H0', '-'], bytes).split(/\s/)[0];
      expect([bytes.length, xxh32(bytes).toString(16).padStart(8, '0')]).toEqual([bytes.length, said]);
    }
  });

  test('XXH3 agrees with xxhsum, of one piece and of two', () => {
    for (const bytes of inputs) {
      const said = oracle('xxhsum', ['-H3', '-'], bytes).trim().split(' ').at(-1);
      const half = bytes.length >> 1;
      for (const sum of [xxh3(bytes), xxh3(bytes.subarray(0, half), bytes.subarray(half))]) {
        expect([bytes.length, sum.toString(16).padStart(16, '0')]).toEqual([bytes.length, said]);
      }
    }
  });
});
