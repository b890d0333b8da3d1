/** Kinds of death, what each means to a person, and what to try. */

interface ToldKind {
  /** A sentence or two. */
  readonly meaning: string;
  /** What a person can try; undefined: the report's next steps are all there is. */
  readonly advice?: string;
}

export const deathKinds = {
  panic: { meaning: 'Some part of the kernel called panic(): it could not go on. Its message says why.' },
  consequence: { meaning: 'The kernel gave up because of what had happened before.' },
  sysrq: { meaning: 'Somebody, or a test, crashed the kernel on purpose by SysRq-c.' },
  nmi: {
    meaning:
      'A non-maskable interrupt arrived that the kernel could not explain: hardware, or a button made for this.',
    advice: "Look into the machine's own event log (BMC, firmware setup): it may know who sent it.",
  },
  'init-died': {
    meaning:
      'Process 1 ended, and the kernel cannot run without it. An exit code of 0x0000000b or so is the signal that killed it.',
    advice:
      'Boot an older initramfs, or with init=/bin/sh, and look why init ends: a damaged libc, a full disk.',
  },
  'no-init': {
    meaning:
      'The kernel has a root file system, but nothing on it that it could start: no /sbin/init, /etc/init, /bin/init or /bin/sh, or none that this processor can run.',
    advice:
      'Check that root= names the right file system, that init= (or /init in the initramfs) is there and executable, and that its interpreter and libraries are there and of this architecture.',
  },
  'no-root': {
    meaning: 'The kernel found no root file system: a wrong root=, or a missing driver or initramfs.',
    advice:
      'Compare root= with the partitions that the log lists. If it lists none, the driver of the disk is missing: make the initramfs again, and see that the boot entry names it.',
  },
  'initramfs-damaged': {
    meaning:
      'The initramfs could not be unpacked: its file is damaged or cut short, or the kernel cannot read its compression. So the root file system could not be mounted.',
    advice:
      'Make the initramfs again (update-initramfs -u -k VERSION, dracut --force), with room left in /boot, or boot an older entry.',
  },
  'no-timer': {
    meaning: 'The timer interrupt does not come through the IO-APIC: mostly an error of the firmware.',
    advice: 'Update the firmware; until then try noapic, or nolapic_timer, on the command line.',
  },
  'out-of-memory': {
    meaning:
      'There was no memory left, and no process whose end would have helped, or the kernel was told to panic then (vm.panic_on_oom).',
    advice:
      'Look at the table of processes before it for the largest one. Add swap, limit that process, or set vm.panic_on_oom=0.',
  },
  'machine-check': {
    meaning: 'The processor or the firmware reported a fault of the hardware that cannot be corrected.',
    advice:
      'The lines with "Hardware Error" say what it was: memory, PCIe, processor. Test the memory, look into the event log of the machine, update the firmware.',
  },
  'stack-protector': {
    meaning: 'A function wrote beyond its variables on the stack: the canary behind them had changed.',
    advice:
      'The function that the message names did it, or one that it called. Look for an array that is too short.',
  },
  refcount: {
    meaning:
      'A reference counter left its range: something was freed once too often, or was used after it had been freed.',
    advice:
      'Look at who called, below refcount_warn_saturate: one user of the object dropped a reference that was not its own.',
  },
  usercopy: {
    meaning:
      'The kernel was about to copy more between itself and a process than the object has: hardened usercopy stopped it.',
    advice: 'The function below usercopy_abort and __check_object_size has a wrong size or a wrong pointer.',
  },
  'split-lock': {
    meaning:
      'A locked instruction of the kernel touched two cache lines at once, and the kernel treats that as an error.',
    advice: 'Report it to whoever wrote that code; split_lock_detect=off makes the kernel go on.',
  },
  bug: { meaning: 'A check in the kernel (BUG()) found what must never be.' },
  'page-fault': {
    meaning: 'Kernel code used an address that is not mapped, or not allowed for that access.',
  },
  'null-dereference': { meaning: 'Kernel code used a null pointer.' },
  'general-protection-fault': {
    meaning:
      'The processor refused an instruction of the kernel, most often for an address that cannot exist: a damaged pointer.',
  },
  'stack-overflow': {
    meaning: 'The kernel stack was used up: too deep a recursion, or too large variables on it.',
  },
  'double-fault': {
    meaning: 'The processor failed to deliver an exception, most often because the stack pointer was wrong.',
  },
  'invalid-opcode': {
    meaning: 'The processor met an instruction that it does not have, or a trap that the kernel placed.',
  },
  'divide-error': { meaning: 'A division by zero, or one whose result does not fit.' },
  exception: { meaning: 'The processor raised an exception in kernel code.' },
  'early-exception': {
    meaning: 'An exception before the kernel had its own handlers; it could only print the registers.',
  },
  'hung-task': {
    meaning: 'A process waited for something, without a way to interrupt it, for too long.',
    advice: 'Its trace shows what it waits for: often a disk or a server that does not answer, or a lock.',
  },
  'soft-lockup': { meaning: 'A CPU ran kernel code without a break for too long.' },
  'hard-lockup': { meaning: 'A CPU ran with interrupts off for too long.' },
  'rcu-stall': {
    meaning: 'A CPU or a task held up RCU for too long: it loops, or got no time to run.',
    advice: 'The trace is that of the stalled CPU. On a virtual machine, its host may not have run that CPU.',
  },
  warning: {
    meaning: 'A check in the kernel failed (WARNING), and the kernel was told to panic on warnings.',
  },
  complaint: { meaning: 'A debugging aid of the kernel found an error.' },
} as const satisfies Readonly<Record<string, ToldKind>>;

export type DeathKind = keyof typeof deathKinds;

/** What to try, or undefined. */
export function adviceFor(kind: DeathKind): string | undefined {
  const told: ToldKind = deathKinds[kind];
  return told.advice;
}

/**
 * Patterns and words below are compared with text in small letters without any blanks: somebody may have typed the log off
 * a screen.
 */
export function squeezed(text: string): string {
  return text.slice(0, 400).replace(/\s/g, '').toLowerCase();
}

/** Kinds that the kernel survives unless it was told to panic on them; with what panic() then says. */
export const survivable: ReadonlyMap<DeathKind, RegExp> = new Map<DeathKind, RegExp>([
  ['hung-task', /hung_task/],
  ['soft-lockup', /softlockup|lockup/],
  ['hard-lockup', /hardlockup/],
  ['rcu-stall', /rcustall/],
  ['warning', /panic_on_warn/],
  ['refcount', /panic_on_warn/],
  ['complaint', /panic_on_warn|panic_on_bug|kasan|kfence|ubsan|schedulingwhileatomic/],
  ['initramfs-damaged', /unabletomountrootfs|noworkinginitfound/],
]);

const panicMessages: readonly (readonly [RegExp, DeathKind])[] = [
  [/^fatalexception|^hung_task:|^softlockup:|^hardlockup|^rcustall|panic_on_warn/, 'consequence'],
  [/^sysrqtriggeredcrash/, 'sysrq'],
  [/^nmi:|^nmiiockerror/, 'nmi'],
  [/^noworkinginitfound|^requestedinit.*failed/, 'no-init'],
  [/^attemptedtokillinit!/, 'init-died'],
  [/unabletomountrootfs/, 'no-root'],
  [/^outofmemory|deadlockedonmemory/, 'out-of-memory'],
  [/machinecheck|^fatalhardwareerror|^uncorrectedhardware/, 'machine-check'],
  [/stack-protector/, 'stack-protector'],
  [/io-apic\+timerdoesn'twork/, 'no-timer'],
];

export function kindOfPanic(message: string): DeathKind {
  const text = squeezed(message);
  return panicMessages.find(([pattern]) => pattern.test(text))?.[1] ?? 'panic';
}

/** The kind that the title of an oops tells: what stands before ": 0000 [#1]". */
export function kindOfOops(title: string): DeathKind {
  const known: readonly (readonly [string, DeathKind])[] = [
    ['generalprotectionfault', 'general-protection-fault'],
    ['doublefault', 'double-fault'],
    ['invalidopcode', 'invalid-opcode'],
    ['divideerror', 'divide-error'],
    ['splitlock', 'split-lock'],
  ];
  const text = squeezed(title);
  return known.find(([words]) => text.includes(words))?.[1] ?? (text === 'oops' ? 'page-fault' : 'exception');
}

/**
 * Lines that begin the story of a death, or of something survivable. They are tried in this order; of `text` the
 * spaces around it are gone.
 */
export function kindOfHeadline(text: string): DeathKind | undefined {
  const line = squeezed(text);
  const starts = (...words: readonly string[]): boolean => words.some((word) => line.startsWith(word));
  const has = (word: string): boolean => line.includes(word);
  if (starts('kernelpanic-notsyncing')) return kindOfPanic(panicMessage(text));
  if (starts('kernelbugatmm/usercopy.c')) return 'usercopy';
  if (starts('kernelbugat')) return 'bug';
  if (starts('bug:', 'unabletohandle') && has('nullpointerdereference')) return 'null-dereference';
  if (starts('bug:unabletohandle', 'unabletohandlekernel')) return 'page-fault';
  if (starts('bug:') && has('stackguardpagewashit')) return 'stack-overflow';
  if (starts('traps:panic:doublefault', 'panic:doublefault')) return 'double-fault';
  if (starts('panic:earlyexception')) return 'early-exception';
  if (has('bug:softlockup-cpu#')) return 'soft-lockup';
  if (has('hardlockup')) return 'hard-lockup';
  if (starts('info:task') && has('blockedformorethan')) return 'hung-task';
  if (starts('rcu:info:', 'info:rcu') && has('stall')) return 'rcu-stall';
  if (starts('refcount_t:')) return 'refcount';
  if (starts('warning:') && /\sat\s/i.test(text)) return 'warning';
  if (starts('initramfsunpackingfailed')) return 'initramfs-damaged';
  if (starts('splitlockdetected')) return 'split-lock';
  if (starts('bug:', 'ubsan:')) return 'complaint';
  return undefined;
}

/** What panic() was given; "" when the line has nothing more. */
export function panicMessage(text: string): string {
  const at = text.indexOf(':');
  return at < 0 ? '' : text.slice(at + 1).trimStart();
}
