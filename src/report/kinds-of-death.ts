/** Kinds of death and what each means to a person. */

export const deathKinds = {
  panic: 'Some part of the kernel called panic(): it could not go on. Its message says why.',
  consequence: 'The kernel gave up because of what had happened before.',
  sysrq: 'Somebody, or a test, crashed the kernel on purpose by SysRq-c.',
  nmi: 'A non-maskable interrupt arrived that the kernel could not explain: hardware, or a button made for this.',
  'init-died':
    'Process 1 ended, and the kernel cannot run without it. An exit code of 0x0000000b or so is the signal that killed it.',
  'no-root': 'The kernel found no root file system: a wrong root=, or a missing driver or initramfs.',
  'out-of-memory': 'There was no memory left, and no process whose end would have helped.',
  'machine-check': 'The processor reported a fault of the hardware.',
  'stack-protector':
    'A function wrote beyond its variables on the stack: the canary behind them had changed.',
  bug: 'A check in the kernel (BUG()) found what must never be.',
  'page-fault': 'Kernel code used an address that is not mapped, or not allowed for that access.',
  'null-dereference': 'Kernel code used a null pointer.',
  'general-protection-fault':
    'The processor refused an instruction of the kernel, most often for an address that cannot exist: a damaged pointer.',
  'stack-overflow': 'The kernel stack was used up: too deep a recursion, or too large variables on it.',
  'double-fault':
    'The processor failed to deliver an exception, most often because the stack pointer was wrong.',
  'invalid-opcode':
    'The processor met an instruction that it does not have, or a trap that the kernel placed.',
  'divide-error': 'A division by zero, or one whose result does not fit.',
  exception: 'The processor raised an exception in kernel code.',
  'early-exception':
    'An exception before the kernel had its own handlers; it could only print the registers.',
  'hung-task': 'A process waited for something, without a way to interrupt it, for too long.',
  'soft-lockup': 'A CPU ran kernel code without a break for too long.',
  'hard-lockup': 'A CPU ran with interrupts off for too long.',
  'rcu-stall': 'A CPU or a task held up RCU for too long: it loops, or got no time to run.',
  warning: 'A check in the kernel failed (WARNING), and the kernel was told to panic on warnings.',
  complaint: 'A debugging aid of the kernel found an error.',
} as const;

export type DeathKind = keyof typeof deathKinds;

/** Kinds that the kernel survives unless it was told to panic on them; with what panic() then says. */
export const survivable: ReadonlyMap<DeathKind, RegExp> = new Map<DeathKind, RegExp>([
  ['hung-task', /hung_task/],
  ['soft-lockup', /softlockup|lockup/i],
  ['hard-lockup', /hard lockup/i],
  ['rcu-stall', /RCU Stall/i],
  ['warning', /panic_on_warn/],
  ['complaint', /panic_on_warn|panic_on_bug|KASAN|KFENCE|UBSAN|scheduling while atomic/],
]);

const panicMessages: readonly (readonly [RegExp, DeathKind])[] = [
  [/^Fatal exception|^hung_task:|^softlockup:|^Hard LOCKUP|^RCU Stall|panic_on_warn/, 'consequence'],
  [/^sysrq triggered crash/, 'sysrq'],
  [/^NMI: Not continuing|^NMI IOCK error|^NMI: /, 'nmi'],
  [/^Attempted to kill init!|^No working init found/, 'init-died'],
  [/Unable to mount root fs/, 'no-root'],
  [/^Out of memory|deadlocked on memory/i, 'out-of-memory'],
  [/machine check/i, 'machine-check'],
  [/stack-protector/, 'stack-protector'],
];

export function kindOfPanic(message: string): DeathKind {
  return panicMessages.find(([pattern]) => pattern.test(message))?.[1] ?? 'panic';
}

/** The kind that the title of an oops tells: what stands before ": 0000 [#1]". */
export function kindOfOops(title: string): DeathKind {
  const known: readonly (readonly [string, DeathKind])[] = [
    ['general protection fault', 'general-protection-fault'],
    ['double fault', 'double-fault'],
    ['invalid opcode', 'invalid-opcode'],
    ['divide error', 'divide-error'],
  ];
  return (
    known.find(([words]) => title.includes(words))?.[1] ?? (title === 'Oops' ? 'page-fault' : 'exception')
  );
}

/**
 * Lines that begin the story of a death, or of something survivable. They are tried in this order; of `text` the
 * spaces around it are gone.
 */
export function kindOfHeadline(text: string): DeathKind | undefined {
  const starts = (...words: readonly string[]): boolean => words.some((word) => text.startsWith(word));
  const has = (word: string): boolean => text.includes(word);
  if (starts('Kernel panic - not syncing')) return kindOfPanic(panicMessage(text));
  if (starts('kernel BUG at ')) return 'bug';
  if (starts('BUG: ') && has('NULL pointer dereference')) return 'null-dereference';
  if (starts('BUG: unable to handle ')) return 'page-fault';
  if (starts('BUG: ') && has('stack guard page was hit')) return 'stack-overflow';
  if (starts('traps: PANIC: double fault', 'PANIC: double fault')) return 'double-fault';
  if (starts('PANIC: early exception')) return 'early-exception';
  if (has('BUG: soft lockup - CPU#')) return 'soft-lockup';
  if (has('hard LOCKUP on cpu') || has('hard LOCKUP')) return 'hard-lockup';
  if (starts('INFO: task ') && has(' blocked for more than ')) return 'hung-task';
  if (starts('rcu: INFO: ', 'INFO: rcu') && has('stall')) return 'rcu-stall';
  if (starts('WARNING: ') && has(' at ')) return 'warning';
  if (starts('BUG: ', 'UBSAN: ')) return 'complaint';
  return undefined;
}

/** What panic() was given; "" when the line has nothing more. */
export function panicMessage(text: string): string {
  const at = text.indexOf(': ');
  return at < 0 ? '' : text.slice(at + 2);
}
