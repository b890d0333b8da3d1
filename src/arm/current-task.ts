/** Where the kernel keeps the running task: the crash stub names its PID in an early panic's NT_PRSTATUS. */
import type { KernelFact } from '../kernel/evidence.js';
import type { Kernel } from '../kernel/load-kernel.js';

export interface CurrentTask {
  /** Of the per-CPU pointer to the running task: offset from GS base, or, since Linux 6.15, a link address. */
  readonly pointer: bigint;
  /** Offset of the pid in what it points to, bytes. */
  readonly pid: number;
  readonly facts: readonly KernelFact[];
}

/** `current` (arch/x86/include/asm/current.h): a per-CPU variable, in 6.2 to 6.14 the member of another one. */
export function findCurrentTask({ kallsyms, btf }: Kernel): CurrentTask | undefined {
  const member = btf.hasMember('struct pcpu_hot', 'current_task');
  const name = member ? 'pcpu_hot' : 'current_task';
  const variable = kallsyms.address(name);
  if (variable === undefined || !btf.hasMember('struct task_struct', 'pid')) return undefined;
  const pointer = variable + BigInt(member ? btf.memberOffset('struct pcpu_hot', 'current_task') : 0);
  const pid = btf.memberOffset('struct task_struct', 'pid');
  return {
    pointer,
    pid,
    facts: [
      { name: 'current_task', value: `0x${pointer.toString(16)}`, source: `kallsyms ${name}, BTF` },
      { name: 'task_struct.pid', value: String(pid), source: 'BTF struct task_struct' },
    ],
  };
}
