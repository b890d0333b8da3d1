import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, test } from '@jest/globals';
import { SaveoopsError } from '../errors.js';
import { offsetInImage } from '../kernel/flat-image.js';
import { loadKernel, type Kernel } from '../kernel/load-kernel.js';
import { hookWindowPmd } from '../stubs/shared-layout.js';
import { stockKernels } from '../testkit/stock-kernels.js';
import { findFixmapWindow } from './fixmap-window.js';

describe.each(stockKernels())('the window of $flavour', ({ vmlinuz }) => {
  let kernel: Kernel;
  beforeAll(async () => {
    kernel = await loadKernel(readFileSync(vmlinuz), vmlinuz);
  }, 60_000);

  const entryOf = (table: string, index: number): number =>
    offsetInImage(kernel.image, kernel.kallsyms.requireAddress(table), 4096, table) + 8 * index;
  /** The kernel with one entry of a table changed. */
  const withEntry = (table: string, index: number, value: bigint): Kernel => {
    const bytes = Buffer.from(kernel.image.bytes);
    bytes.writeBigUInt64LE(value, entryOf(table, index));
    return { ...kernel, image: { ...kernel.image, bytes } };
  };

  test('is the first entry behind the fixmap', () => {
    const { bytes } = kernel.image;
    const table = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).subarray(
      entryOf('level2_fixmap_pgt', 0),
      entryOf('level2_fixmap_pgt', 512),
    );
    const used = Array.from({ length: 512 }, (_, index) => index).filter(
      (index) => table.readBigUInt64LE(8 * index) !== 0n,
    );
    expect(used.at(-1)).toBe(hookWindowPmd - 1);
    expect(findFixmapWindow(kernel)).toMatchObject({ name: 'level2_fixmap_pgt[508]', value: 'empty' });
  });

  test.each([
    ['level2_fixmap_pgt', 508, 1n, 'an empty entry'],
    ['level2_fixmap_pgt', 511, 0x80n, 'an empty entry'],
    ['level2_fixmap_pgt', 507, 0n, "the fixmap's last table"],
    ['level3_kernel_pgt', 511, 0n, 'a present entry for level2_fixmap_pgt'],
    ['level3_kernel_pgt', 511, 0x1001n, 'a present entry for level2_fixmap_pgt'],
  ] as const)('%s[%d] = %d is refused', (table, index, value, wanted) => {
    let thrown: unknown;
    try {
      findFixmapWindow(withEntry(table, index, value));
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBeInstanceOf(SaveoopsError);
    expect(thrown).toMatchObject({
      kind: 'unsupported',
      where: expect.stringContaining(`${table}[${index}]`),
      found: `0x${value.toString(16)}`,
      wanted,
    });
  });
});
