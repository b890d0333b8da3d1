/**
 * Pages of a kernel that nothing changes from the moment it is entered: by them a boot after a reset sees whether its memory is
 * still what it was. Text is none of it: a kernel patches its own while it boots (alternatives, static keys, ftrace).
 *
 * Source: include/asm-generic/vmlinux.lds.h, RO_DATA(): .rodata begins at __start_rodata, and what is read-only only after init,
 * jump table and static calls included, at __start_ro_after_init.
 */
import { alignUp } from '../bytes/align.js';
import type { KernelFact } from './evidence.js';
import type { Kernel } from './load-kernel.js';

const page = 4096;

export interface ConstantPages {
  /** From _text, bytes. */
  readonly offset: number;
  /** 0: not known. */
  readonly pages: number;
}

/** @param most of them that there is room for */
export function constantPages({ kallsyms, image }: Kernel, most: number): ConstantPages {
  const start = kallsyms.address('__start_rodata');
  const end = kallsyms.address('__start_ro_after_init');
  if (start === undefined || end === undefined || end < start) return { offset: 0, pages: 0 };
  const offset = alignUp(Number(start - image.virtual), page);
  const pages = Math.floor((Number(end - image.virtual) - offset) / page);
  return pages > 0 ? { offset, pages: Math.min(pages, most) } : { offset: 0, pages: 0 };
}

export function constantPagesFact({ pages }: ConstantPages): KernelFact {
  return {
    name: 'constant pages',
    value: String(pages),
    source: 'kallsyms, from __start_rodata to __start_ro_after_init',
  };
}
