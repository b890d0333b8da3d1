/**
 * KERNEL_IMAGE_SIZE: how much of the last 2 GiB of virtual addresses is the kernel image's, before the modules' part. 1 GiB
 * with CONFIG_RANDOMIZE_BASE, 512 MiB without (arch/x86/include/asm/page_64_types.h).
 */
import { ByteView } from '../bytes/byte-reader.js';
import { offsetInImage } from './flat-image.js';
import type { Kernel } from './load-kernel.js';

const largePage = 0x200000;
const entries = 512;
const present = 1n;
const withRandomizeBase = 1 << 30;

/**
 * Bytes. It is a macro, so in neither kallsyms nor BTF. But arch/x86/kernel/head_64.S fills level2_kernel_pgt with as many 2 MiB
 * entries as it has, and what follows in that page is zero. A kernel that does not name the table is taken for one with
 * CONFIG_RANDOMIZE_BASE, as distributions build it.
 */
export function imageWindow({ kallsyms, image }: Pick<Kernel, 'kallsyms' | 'image'>): number {
  const table = kallsyms.address('level2_kernel_pgt');
  if (table === undefined) return withRandomizeBase;
  const offset = offsetInImage(image, table, 8 * entries, 'level2_kernel_pgt');
  const view = new ByteView(image.bytes, image.source);
  let used = 0;
  while (used < entries && (view.u64(offset + 8 * used, 'level2_kernel_pgt') & present) !== 0n) used++;
  return used * largePage;
}
