import { readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import { ByteWriter } from '../bytes/byte-writer.js';
import { stockKernels } from '../testkit/stock-kernels.js';
import { imageWindow } from './image-window.js';
import { loadKernel, type Kernel } from './load-kernel.js';

const MiB = 1 << 20;
const base = 0xffffffff81000000n;
const table = 0x1000;

/** A kernel whose level2_kernel_pgt has this many entries, as PMDS() of head_64.S writes them. */
function kernelWith(entries: number, size = 0x2000, symbol = true): Pick<Kernel, 'kallsyms' | 'image'> {
  const writer = ByteWriter.ofSize(size);
  for (let i = 0; i < entries; i++) writer.u64(table + 8 * i, (BigInt(i) << 21n) | 0x1e3n);
  return {
    image: { bytes: writer.bytes, physical: 0n, virtual: base, entryOffset: 0, source: 'test' },
    kallsyms: {
      address: (name: string) => (symbol && name === 'level2_kernel_pgt' ? base + BigInt(table) : undefined),
    },
  } as unknown as Kernel;
}

describe('imageWindow', () => {
  test.each<[string, Pick<Kernel, 'kallsyms' | 'image'>, number]>([
    ['CONFIG_RANDOMIZE_BASE', kernelWith(512), 1024],
    ['none', kernelWith(256), 512],
    ['a table that the kernel does not name', kernelWith(256, 0x2000, false), 1024],
  ])('%s', (_, kernel, wanted) => {
    expect(imageWindow(kernel)).toBe(wanted * MiB);
  });

  test('refuses a table that reaches beyond the image', () => {
    const kernel = kernelWith(0, 0x1fff);
    expect(() => imageWindow(kernel)).toThrow(expect.objectContaining({ kind: 'missing-fact' }));
  });
});

// Of a running kernel: the line of its own VMCOREINFO, in the matrix and the built lane.
test.each(stockKernels())(
  '$flavour has CONFIG_RANDOMIZE_BASE',
  async ({ vmlinuz }) => {
    expect(imageWindow(await loadKernel(readFileSync(vmlinuz), vmlinuz))).toBe(1024 * MiB);
  },
  60_000,
);
