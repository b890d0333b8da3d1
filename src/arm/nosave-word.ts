/**
 * A word of the kernel that hibernation neither writes nor restores: how the hook knows that the kernel around it came
 * from an image and not from the boot that prepared the crash region.
 *
 * Source: Documentation/power/swsusp.rst and include/linux/suspend.h: the pages from __nosave_begin to __nosave_end
 * stay out of the image. NOSAVE_DATA (include/asm-generic/vmlinux.lds.h) fills them up to the page's end, and no
 * stock kernel has more than a few words there.
 */
import { ByteView } from '../bytes/byte-reader.js';
import { offsetInImage } from '../kernel/flat-image.js';
import type { Kernel } from '../kernel/load-kernel.js';

/** Kernel symbol that only the hook's look at the word refers to. */
export const nosaveEnd = '__nosave_end';

/**
 * Link-time virtual address of the last 8 bytes before __nosave_end. undefined when the kernel has no such page, or
 * something lies there: a symbol, or bytes that are not zero. A heuristic: kallsyms knows no sizes, so a variable of
 * nearly a page that ends there and is zero would be taken for free.
 */
export function findNosaveWord({ kallsyms, image }: Kernel): bigint | undefined {
  const begin = kallsyms.address('__nosave_begin');
  const end = kallsyms.address(nosaveEnd);
  if (begin === undefined || end === undefined || end - begin < 8n) return undefined;
  const word = end - 8n;
  if (kallsyms.nextAddress(word - 1n) !== end) return undefined;
  const offset = offsetInImage(image, word, 8, '__nosave_end - 8');
  return new ByteView(image.bytes, image.source).u64(offset, '__nosave_end - 8') === 0n ? word : undefined;
}
