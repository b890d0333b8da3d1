/** Kinds of a kernel's death, each with its signature, and how a debugger brings a stock kernel to it. */
import type { KernelDebugger } from '../../src/machine/kernel-debugger.js';
import { consoleWrite, crimeScene, type GuestTask } from './guest.js';

export interface Kind {
  readonly name: string;
  /** Words on the primary's command line without which the kernel would not panic, or not yet. */
  readonly append?: string;
  /** An oops in process context: only with oops=panic the kernel does not just end the process and run on. */
  readonly oops?: boolean;
  /** Default: 'scene'. */
  readonly task?: GuestTask;
  /** Commits the crime on the selected CPU, which has just entered the scene; all run on afterwards. */
  readonly crime?: (kernel: KernelDebugger, thread: string) => Promise<void>;
  /** An NMI from outside follows. */
  readonly nmi?: boolean;
  /** Default: 1 and 2. */
  readonly cpus?: readonly number[];
  /** All of these are in the log. The first is this death's own line. */
  readonly signature: readonly RegExp[];
  /**
   * The dying kernel puts its panic on no console before it calls the hook: the console is taken, or it panics in NMI
   * context, where printk only stores. What is known of it comes through the crash kernel.
   */
  readonly silent?: boolean;
}

/** Milliseconds, or cycles of the TSC, that end within no run. */
const weeks = 0x7fff_ffffn;
const endlessCycles = 1n << 60n;
/** THREAD_SIZE without KASAN: arch/x86/include/asm/page_64_types.h. Stacks are aligned to it. */
const stackSize = 4n * 4096n;
/** Not canonical with 4 and 5 levels of page tables. */
const nonCanonical = 0xdead_0000_0000_0000n;
const interruptFlag = 0x200n;

const fatalInInterrupt = /Kernel panic - not syncing: Fatal exception in interrupt$/m;
const inScene = new RegExp(`RIP: 0010:${crimeScene}\\+0x`);

/** The system call reads the saved registers that its argument points to, at once. */
const readThrough =
  (pointer: bigint) =>
  (kernel: KernelDebugger): Promise<void> =>
    kernel.call(crimeScene, pointer);

export const nullDereference = readThrough(0n);

async function overflowStack({ gdb }: KernelDebugger): Promise<void> {
  const { rsp } = await gdb.registers();
  await gdb.writeRegister('rsp', (rsp & ~(stackSize - 1n)) + 8n);
}

async function loseStack({ gdb }: KernelDebugger): Promise<void> {
  await gdb.writeRegister('rsp', nonCanonical);
}

export const loop = (kernel: KernelDebugger): Promise<void> => kernel.call('__delay', endlessCycles);

async function loopWithoutInterrupts(kernel: KernelDebugger): Promise<void> {
  const { eflags } = await kernel.gdb.registers();
  await kernel.gdb.writeRegister('eflags', eflags & ~interruptFlag);
  await loop(kernel);
}

async function otherThread(kernel: KernelDebugger, thread: string): Promise<string> {
  const other = (await kernel.gdb.threads()).find((each) => Number(`0x${each}`) !== Number(`0x${thread}`));
  if (other === undefined) throw new Error('one CPU only');
  return other;
}

const unknownNmi = [
  /NMI received for unknown reason \w+ on CPU 0/,
  /Kernel panic - not syncing: NMI: Not continuing/,
];

export const kinds: readonly Kind[] = [
  {
    name: 'panic()',
    crime: (kernel) => kernel.call('panic', 'Injected in process context'),
    signature: [
      /Kernel panic - not syncing: Injected in process context/,
      new RegExp(` ${crimeScene}\\+0x1/`),
    ],
  },
  {
    name: 'BUG()',
    oops: true,
    // It says what it found and ends in BUG().
    crime: (kernel) => kernel.call('usercopy_abort', 0n),
    signature: [
      /kernel BUG at mm\/usercopy\.c:\d+!/,
      /invalid opcode: 0000 \[#1\]/,
      /RIP: 0010:usercopy_abort\+0x/,
    ],
  },
  {
    name: 'NULL dereference',
    oops: true,
    crime: nullDereference,
    signature: [/BUG: kernel NULL pointer dereference, address: 00000000000000/, inScene],
  },
  {
    name: 'NULL dereference in an interrupt handler',
    crime: async (kernel) => {
      await kernel.arriveAt('hrtimer_interrupt');
      await kernel.gdb.writeRegister('rdi', 0n);
    },
    signature: [
      /BUG: kernel NULL pointer dereference, address: 00000000000000/,
      /RIP: 0010:hrtimer_interrupt\+0x/,
      /<IRQ>/,
      fatalInInterrupt,
    ],
  },
  {
    name: 'panic() in an interrupt handler',
    crime: async (kernel) => {
      await kernel.arriveAt('hrtimer_interrupt');
      await kernel.call('panic', 'Injected in an interrupt');
    },
    signature: [
      /Kernel panic - not syncing: Injected in an interrupt/,
      /<IRQ>[^]* hrtimer_interrupt\+0x1\/[^]*<\/IRQ>/,
    ],
  },
  {
    name: 'general protection fault',
    oops: true,
    crime: readThrough(nonCanonical),
    signature: [/general protection fault, probably for non-canonical address 0xdead0000000000/, inScene],
  },
  {
    name: 'stack overflow',
    crime: overflowStack,
    signature: [/BUG: .*stack guard page was hit at/, inScene, fatalInInterrupt],
    silent: true,
  },
  {
    name: 'double fault',
    crime: loseStack,
    signature: [/double fault: 0000 \[#1\]/, inScene, fatalInInterrupt],
    silent: true,
  },
  {
    name: 'sysrq-c',
    append: 'sysrq_always_enabled',
    task: 'sysrq',
    signature: [/sysrq: Trigger a crash/, /Kernel panic - not syncing: sysrq triggered crash/],
  },
  {
    name: 'NMI, unknown_nmi_panic',
    append: 'unknown_nmi_panic',
    task: 'wait',
    nmi: true,
    silent: true,
    signature: unknownNmi,
  },
  {
    name: 'NMI, panic_on_unrecovered_nmi',
    append: 'sysctl.kernel.panic_on_unrecovered_nmi=1',
    task: 'wait',
    nmi: true,
    silent: true,
    signature: unknownNmi,
  },
  {
    name: 'hung task',
    append: 'sysctl.kernel.hung_task_panic=1 sysctl.kernel.hung_task_timeout_secs=2',
    crime: (kernel) => kernel.call('msleep', weeks),
    signature: [
      /INFO: task hostname:\d+ blocked for more than 2 seconds/,
      / msleep\+0x/,
      /Kernel panic - not syncing: hung_task: blocked tasks/,
    ],
  },
  {
    name: 'soft lockup',
    append: 'sysctl.kernel.softlockup_panic=1 sysctl.kernel.watchdog_thresh=1',
    crime: loop,
    signature: [
      /watchdog: BUG: soft lockup - CPU#\d stuck for \d+s! \[hostname:\d+\]/,
      /Kernel panic - not syncing: softlockup: hung tasks/,
    ],
  },
  {
    // QEMU's TCG has no performance counters, hence no NMI watchdog: an NMI from outside takes its place.
    name: 'CPU that loops with interrupts off, NMI',
    append: 'unknown_nmi_panic',
    task: 'scene-first',
    crime: loopWithoutInterrupts,
    nmi: true,
    silent: true,
    signature: [
      /Kernel panic - not syncing: NMI: Not continuing/,
      /NMI watchdog: Perf NMI watchdog permanently disabled/,
      /RIP: 0010:(__delay|delay_\w+)\+0x/,
      // Bit 9, the interrupt flag, is clear.
      /EFLAGS: 0000[0-9a-f][014589cd][0-9a-f]{2}/,
    ],
  },
  {
    name: 'two CPUs at once',
    task: 'crowd',
    cpus: [2],
    crime: async (kernel, thread) => {
      const other = await otherThread(kernel, thread);
      await kernel.call('panic', 'One of two');
      await kernel.arriveAt(crimeScene, other);
      await kernel.call('panic', 'One of two');
      for (const each of [thread, other]) {
        await kernel.gdb.selectThread(each);
        const { rip } = await kernel.gdb.registers();
        if (rip !== kernel.addressOf('panic')) throw new Error(`thread ${each} is not about to panic`);
      }
    },
    signature: [/Kernel panic - not syncing: One of two/, new RegExp(` ${crimeScene}\\+0x1/`)],
  },
  {
    name: 'panic() while another CPU holds the console',
    task: 'console',
    cpus: [2],
    crime: async (kernel, thread) => {
      await kernel.arriveAt(consoleWrite, await otherThread(kernel, thread));
      await loopWithoutInterrupts(kernel);
      await kernel.arriveAt(crimeScene);
      await kernel.call('panic', 'Injected beside a held console');
    },
    signature: [
      /Kernel panic - not syncing: Injected beside a held console/,
      new RegExp(` ${crimeScene}\\+0x1/`),
    ],
    silent: true,
  },
  {
    name: 'panic() on the CPU that holds the console',
    task: 'console',
    crime: async (kernel) => {
      await kernel.arriveAt(consoleWrite);
      await kernel.call('panic', 'Injected in a console driver');
    },
    signature: [
      /Kernel panic - not syncing: Injected in a console driver/,
      new RegExp(` ${consoleWrite}\\+0x1/`),
    ],
    silent: true,
  },
];
