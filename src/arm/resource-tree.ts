/**
 * The kernel's tree of physical addresses, in which the crash stub finds RAM that was added after the boot.
 *
 * Source: struct resource, include/linux/ioport.h.
 */
import type { Kernel } from '../kernel/load-kernel.js';
import type { KernelSymbolName } from '../stubs/shared-layout.js';

/** What stubs/crash/core-file.c reads of struct resource: offsets, bytes. */
const layout = { start: 0, end: 8, flags: 24, parent: 40, sibling: 48, child: 56 } as const;

/** The root's symbol when this kernel lays the structure out otherwise: the stub then leaves the tree alone. */
export function unknownResources({ btf }: Pick<Kernel, 'btf'>): readonly KernelSymbolName[] {
  const known = Object.entries(layout).every(
    ([member, offset]) =>
      btf.hasMember('struct resource', member) && btf.memberOffset('struct resource', member) === offset,
  );
  return known ? [] : ['iomem_resource'];
}
