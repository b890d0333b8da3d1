/**
 * Deaths of a kernel that are not its own: signs in its log that QEMU, on a busy host, did not behave as a PC does. A run that ended
 * by one says nothing about the payload. Both were seen with stock kernels without Saveoops, in QEMU 7.2.
 */

/** What QEMU did, in a phrase, or undefined when nothing points to it. `log`: lines of one kernel. Pure. */
export function emulatorFault(log: string): string | undefined {
  return starvedTimer(log) ?? staleCode(log);
}

/**
 * check_timer() of arch/x86/kernel/apic/io_apic.c counts timer interrupts for ten ticks by the TSC, which goes on while the host
 * lets QEMU wait. Four times too few, and the kernel panics. A PC whose timer does not work is not what QEMU emulates.
 */
function starvedTimer(log: string): string | undefined {
  return /Kernel panic - not syncing: IO-APIC \+ timer doesn't work/.test(log)
    ? 'the host let QEMU wait so long that the kernel missed its timer'
    : undefined;
}

/**
 * Kernels patch code that other CPUs may run by writing int3 over its first byte for a moment. QEMU before 8.1 may translate that moment
 * and keep it (its commit deba78709ae8 has the repair), so that a CPU traps where the memory has no int3 any more. The kernel's own dump tells: the
 * byte before RIP, in angle brackets, is the one that trapped. On a PC, and where a kernel runs into int3 by mistake, it is 0xcc.
 */
function staleCode(log: string): string | undefined {
  const lines = log.split('\n');
  const oops = lines.findIndex((line) => /\bint3: 0000 \[#1\]/.test(line));
  const code = lines.slice(oops + 1).find((line) => /\bCode: /.test(line));
  const trapped = oops < 0 ? undefined : / ([0-9a-f]{2}) <[0-9a-f]{2}>/.exec(code ?? '')?.[1];
  return trapped === undefined || trapped === 'cc'
    ? undefined
    : `QEMU ran an int3 where the memory had 0x${trapped}: code that the kernel had patched`;
}
