/** What the entry stub decompresses and edits, against the armed image that check-armed.ts has accepted. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import { armKernel } from '../arm/arm-kernel.js';
import { payloadCompression } from '../formats/bzimage/payload.js';
import { loadKernel } from '../kernel/load-kernel.js';
import { loadStubObjects } from '../stubs/stub-objects.js';
import { stockKernels } from '../testkit/stock-kernels.js';
import { editsPart, readEdits, storeKernel, unpackKernel } from './stored-kernel.js';

describe('the kernel as it is stored, decompressed and edited', () => {
  test.each(stockKernels().map(({ flavour, vmlinuz }) => [flavour, vmlinuz]))(
    '%s: is the armed image',
    async (_, vmlinuz) => {
      const kernel = await loadKernel(readFileSync(vmlinuz), vmlinuz);
      const armed = armKernel(kernel, (await loadStubObjects()).hook);
      const stored = await storeKernel(kernel);
      // Debian's kernels keep their bits where the stub can follow: no second copy of one that is LZ4.
      expect(stored.inside !== undefined).toBe(payloadCompression(kernel.bzImage.payload) === 'lz4');
      const image = await unpackKernel(stored, kernel.image.bytes.length);
      expect(Buffer.compare(image, kernel.image.bytes)).toBe(0);
      for (const { offset, before, after } of readEdits(editsPart(armed.edited))) {
        expect(Buffer.compare(image.subarray(offset, offset + before.length), before)).toBe(0);
        image.set(after, offset);
      }
      expect(Buffer.compare(image, armed.bytes)).toBe(0);
    },
    120_000,
  );
});
