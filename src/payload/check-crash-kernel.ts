/** What a kernel must be able to do as crash kernel, told from its file. */
import { SaveoopsError } from '../errors.js';
import type { BzImage } from '../formats/bzimage/parse-bzimage.js';

const needs = [
  // kernel/crash_dump.c: early_param("elfcorehdr", ...)
  {
    text: 'elfcorehdr\0',
    option: 'CONFIG_CRASH_DUMP',
    without: 'it does not learn where the dead kernel lies',
  },
  // fs/proc/vmcore.c: proc_create("vmcore", ...)
  { text: 'vmcore\0', option: 'CONFIG_PROC_VMCORE', without: 'it does not show the dead kernel' },
] as const;

/**
 * Throws `unsupported` for a kernel that would destroy what it is to save, because it runs at one address only, or that has no
 * /proc/vmcore. That is told from the kernel's own strings, not from kallsyms: a crash kernel need not have it. A heuristic
 * that errs one way only: every kernel with these options has the strings.
 * @param vmlinux the kernel of that bzImage, as it lies in memory or in its ELF file
 */
export function checkCrashKernel({ header }: BzImage, vmlinux: Uint8Array, source: string): void {
  const refuse = (where: string, found: string, wanted: string): never => {
    throw new SaveoopsError('unsupported', `${source} cannot be the crash kernel`, {
      where: `${source}, ${where}`,
      found,
      wanted,
      hint: 'give another kernel with --crash-kernel: any stock kernel of the distribution',
    });
  };
  if (header.relocatable_kernel === 0) {
    refuse(
      'setup header, relocatable_kernel',
      `0: it runs at 0x${header.pref_address.toString(16)} only, in the dead kernel's memory`,
      'a kernel with CONFIG_RELOCATABLE',
    );
  }
  const bytes = Buffer.from(vmlinux.buffer, vmlinux.byteOffset, vmlinux.length);
  for (const { text, option, without } of needs) {
    if (!bytes.includes(text, 0, 'latin1'))
      refuse('vmlinux', `no string "${text.slice(0, -1)}": ${without}`, `a kernel with ${option}`);
  }
}
