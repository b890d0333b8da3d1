/** How the kernel halts after an exception that is too early for panic(). */
import { ByteView } from '../bytes/byte-reader.js';
import type { KernelFact } from '../kernel/evidence.js';
import { offsetInImage } from '../kernel/flat-image.js';
import type { Kernel } from '../kernel/load-kernel.js';

/** Kernel symbols that only hook_halt, the hook's entry for this, refers to. */
export const earlyHaltNames = new Set(['early_fixup_exception', 'early_fixup_exception_end', 'native_halt']);

export interface EarlyHalt {
  /** Link-time virtual address of the function pointer pv_ops.irq.halt. */
  readonly pointer: bigint;
  readonly names: Readonly<Record<string, bigint>>;
  readonly facts: readonly KernelFact[];
}

/**
 * How early_fixup_exception() halts (arch/x86/mm/extable.c): in kernels with CONFIG_PARAVIRT_XXL through a function
 * pointer. undefined when this kernel has none, or holds something else there: then such exceptions stay uncaptured.
 */
export function findEarlyHalt({ kallsyms, btf, image }: Kernel): EarlyHalt | undefined {
  const pvOps = kallsyms.address('pv_ops');
  const handler = kallsyms.address('early_fixup_exception');
  const end = handler === undefined ? undefined : kallsyms.nextAddress(handler);
  const template = 'struct paravirt_patch_template';
  if (pvOps === undefined || handler === undefined || end === undefined) return undefined;
  if (!btf.hasMember(template, 'irq.halt')) return undefined;
  const pointer = pvOps + BigInt(btf.memberOffset(template, 'irq.halt'));
  const offset = offsetInImage(image, pointer, 8, 'pv_ops.irq.halt');
  const native = new ByteView(image.bytes, image.source).u64(offset, 'pv_ops.irq.halt');
  if (!kallsyms.symbolsAt(native).some((symbol) => symbol.name === 'native_halt')) return undefined;
  const hex = (value: bigint): string => `0x${value.toString(16)}`;
  return {
    pointer,
    names: { early_fixup_exception: handler, early_fixup_exception_end: end, native_halt: native },
    facts: [
      { name: 'pv_ops.irq.halt', value: hex(pointer), source: `kallsyms, BTF ${template}` },
      { name: 'early_fixup_exception', value: `${hex(handler)} to ${hex(end)}`, source: 'kallsyms' },
      { name: 'native_halt', value: hex(native), source: 'pv_ops.irq.halt, kallsyms' },
    ],
  };
}
