/** The kernel's taint flags: https://docs.kernel.org/admin-guide/tainted-kernels.html, and kernel/panic.c. */

export interface Taint {
  readonly letter: string;
  readonly meaning: string;
}

/** In the order of their bits in /proc/sys/kernel/tainted, from bit 0. G stands for bit 0 being clear. */
const meanings: readonly (readonly [letter: string, meaning: string])[] = [
  ['P', 'a proprietary module was loaded'],
  ['F', 'a module was loaded by force'],
  ['S', 'the kernel runs on hardware outside its specification'],
  ['R', 'a module was unloaded by force'],
  ['M', 'the processor reported a machine check (a hardware fault)'],
  ['B', 'a page was found in a bad state: memory is damaged, by software or by hardware'],
  ['U', 'userspace asked for this flag'],
  ['D', 'the kernel had died before: an oops or a BUG'],
  ['A', 'an ACPI table was overridden'],
  ['W', 'the kernel had warned before (WARNING: in the log)'],
  ['C', 'a staging driver was loaded'],
  ['I', 'the kernel works around a severe firmware bug'],
  ['O', 'a module from outside the kernel tree was loaded'],
  ['E', 'a module without a valid signature was loaded'],
  ['L', 'a soft lockup had happened before'],
  ['K', 'the kernel was live-patched'],
  ['X', 'auxiliary: the distribution defines it'],
  ['T', 'the kernel was built with randomised structure layouts'],
  ['N', 'an in-kernel test has run'],
  ['J', 'userspace used a firmware interface that may disturb the kernel (fwctl)'],
];
const meaningOf = new Map(meanings);

/** @param flags what stands behind "Tainted:", for example "G        W  OE" */
export function explainTaint(flags: string): readonly Taint[] {
  return [...new Set(flags)]
    .filter((letter) => letter !== ' ' && letter !== 'G')
    .map((letter) => ({ letter, meaning: meaningOf.get(letter) ?? 'not known to this version of saveoops' }));
}
