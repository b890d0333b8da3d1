/**
 * How a kernel is seen to end in an orderly way, so that nothing is captured after the reset that follows.
 *
 * Restart, power off, halt and kexec all come to native_machine_shutdown() (arch/x86/kernel/reboot.c), also where hypervisor
 * code has replaced machine_ops.shutdown: kvm_shutdown(), hv_machine_shutdown() and xen_hvm_shutdown() end with it. It stops the
 * other CPUs by smp_ops.stop_other_cpus(1), on a machine with one CPU, too. panic() calls the same pointer with 0, and nothing
 * else calls it. So the hook, which is there already, sees each orderly end, at its last step, and no further pointer of
 * the kernel need change. emergency_restart() (sysrq-b, panic=) does not go there; neither does any reset.
 *
 * reboot=force leaves native_machine_shutdown() out: the entry stub leaves no mark then.
 */
import { SaveoopsError } from '../errors.js';
import type { KernelFact } from '../kernel/evidence.js';
import { offsetInImage } from '../kernel/flat-image.js';
import type { Kernel } from '../kernel/load-kernel.js';

const shutdown = 'native_machine_shutdown';
/** mov $1, %edi */
const waitArgument = Buffer.from('bf01000000', 'hex');
/** Bytes: the function has 64 in stock kernels. */
const longest = 1024;

const orderlyEndFact = 'orderly end';

/**
 * The call in the function's code: a distance from RIP that leads to the pointer, and the argument 1. undefined: not found,
 * and a payload of this kernel cannot capture after a reset.
 * @param smpStop link-time virtual address of smp_ops.stop_other_cpus
 */
export function findOrderlyEnd({ kallsyms, image }: Kernel, smpStop: bigint): KernelFact | undefined {
  const start = kallsyms.address(shutdown);
  const end = start === undefined ? undefined : kallsyms.nextAddress(start);
  if (start === undefined || end === undefined) return undefined;
  const size = Math.min(Number(end - start), longest);
  const offset = offsetInImage(image, start, size, shutdown);
  const code = Buffer.from(image.bytes.subarray(offset, offset + size));
  for (let at = 0; at + 4 <= code.length; at++) {
    const behind = start + BigInt(at + 4);
    if (behind + BigInt(code.readInt32LE(at)) !== smpStop || !code.includes(waitArgument)) continue;
    return {
      name: orderlyEndFact,
      value: `smp_ops.stop_other_cpus(1) at 0x${behind.toString(16)}`,
      source: `code of ${shutdown}`,
    };
  }
  return undefined;
}

/**
 * For --after-reset. Throws `unsupported` for a kernel whose orderly ends would not be seen: each would be captured.
 * @param facts of the armed kernel, or of a manifest
 * @param source names the kernel, for errors
 */
export function requireOrderlyEnd(facts: readonly KernelFact[], source: string): void {
  if (facts.some(({ name }) => name === orderlyEndFact)) return;
  throw new SaveoopsError('unsupported', 'this kernel cannot be captured after a reset', {
    where: `--after-reset, ${source}`,
    found: `no call of smp_ops.stop_other_cpus(1) in ${shutdown}`,
    wanted: 'the call by which an orderly end is told from a reset',
    hint: 'leave --after-reset out, and report the kernel package',
  });
}
