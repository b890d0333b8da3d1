/** Kernels whose indirect calls check what they call. */
import { SaveoopsError } from '../errors.js';
import type { Kernel } from '../kernel/load-kernel.js';

/**
 * What a kernel with kCFI or FineIBT holds, in vmlinux and kallsyms: the list of traps (include/asm-generic/vmlinux.lds.h,
 * KCFI_TRAPS, since 6.1; the objects' .kcfi_traps is linked into __kcfi_traps) and that of functions to rewrite
 * (arch/x86/kernel/vmlinux.lds.S, CONFIG_FINEIBT, since 6.2). The option is CONFIG_CFI_CLANG, renamed CONFIG_CFI later.
 */
const integrityLists = [
  { section: '__kcfi_traps', start: '__start___kcfi_traps', end: '__stop___kcfi_traps' },
  { section: '.cfi_sites', start: '__cfi_sites', end: '__cfi_sites_end' },
] as const;

/**
 * kCFI and FineIBT check the callee's type hash at every indirect call: the hook has none. Empty lists are no such
 * kernel. The compiler puts the hash before each function, under a symbol of its own: __cfi_ and the function's name.
 */
export function refuseControlFlowIntegrity({ elf, kallsyms }: Kernel): void {
  const found = integrityLists.flatMap(({ section, start, end }) => {
    if ((elf.findSection(section)?.sh_size ?? 0) > 0) return [`section ${section} with content`];
    const from = kallsyms.address(start);
    return from !== kallsyms.address(end) ? [`a list from ${start} to ${end}`] : [];
  });
  const hash = '__cfi_native_stop_other_cpus';
  if (kallsyms.address(hash) !== undefined) found.push(`symbol ${hash}`);
  if (found.length === 0) return;
  throw new SaveoopsError('unsupported', 'kernels built with kCFI or FineIBT cannot be armed yet', {
    where: elf.source,
    found: found.join(', '),
    wanted: 'a kernel without control-flow integrity checks (CONFIG_CFI=n, CONFIG_CFI_CLANG=n)',
  });
}
