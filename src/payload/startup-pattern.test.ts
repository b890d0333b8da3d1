import { readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import { loadKernel } from '../kernel/load-kernel.js';
import { stockKernels } from '../testkit/stock-kernels.js';
import { startupPattern, stubDecompresses } from './startup-pattern.js';

describe('startup_64 of stock kernels', () => {
  test.each(stockKernels().map(({ flavour, vmlinuz }) => [flavour, vmlinuz]))(
    '%s: once in the image, and what KASLR moves is masked',
    async (_, vmlinuz) => {
      const kernel = await loadKernel(readFileSync(vmlinuz), vmlinuz);
      // Debian's 5.10 is the last series without it.
      expect(stubDecompresses(kernel.bzImage)).toBe(!kernel.bzImage.release.startsWith('5.'));
      const { bytes, mask } = startupPattern(kernel);
      const { image, relocations } = kernel;
      expect(bytes.filter((byte, index) => byte !== 0 && mask[index] === 0)).toHaveLength(0);
      expect(mask.filter((each) => each !== 0).length).toBeGreaterThan(32);
      // As the kernel's decompressor relocates: each 32-bit place by the same amount.
      const moved = Buffer.from(image.bytes);
      for (const low of relocations.words32) {
        const at = low - Number(BigInt.asUintN(32, image.virtual));
        moved.writeUInt32LE((moved.readUInt32LE(at) + 0x1de00000) >>> 0, at);
      }
      const now = moved.subarray(image.entryOffset, image.entryOffset + mask.length);
      expect(now.map((byte, index) => byte & (mask[index] ?? 0))).toEqual(Buffer.from(bytes));
      expect(
        Buffer.compare(now, image.bytes.subarray(image.entryOffset, image.entryOffset + mask.length)),
      ).not.toBe(0);
    },
    60_000,
  );
});
