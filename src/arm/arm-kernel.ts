/**
 * Arms a stock kernel: the hook goes into a gap of .text, and two function pointers in smp_ops lead to it. Nothing
 * else of the kernel changes, and checkArmed() re-reads the result to say so.
 */
import { littleEndian } from '../bytes/byte-writer.js';
import { SaveoopsError } from '../errors.js';
import { offsetInImage } from '../kernel/flat-image.js';
import type { Kernel } from '../kernel/load-kernel.js';
import type { KernelEdit, KernelFact } from '../kernel/evidence.js';
import type { KernelSymbolName } from '../stubs/shared-layout.js';
import { findFacts, type ArmingFacts } from './arming-facts.js';
import { checkArmed, type EditedBytes, type HookPointer } from './check-armed.js';
import { refuseControlFlowIntegrity } from './control-flow-integrity.js';
import type { CurrentTask } from './current-task.js';
import { earlyHaltNames } from './early-halt.js';
import { hookSize, hookSymbol, linkHook } from './link-hook.js';
import { nosaveEnd } from './nosave-word.js';

export interface ArmedKernel {
  /** The flat image with the hook in it. */
  readonly bytes: Uint8Array;
  /** Link-time virtual addresses. */
  readonly hookSlots: bigint;
  /** Where the hook's sum is a second time; the slot itself when the kernel has no word that hibernation spares. */
  readonly nosaveWord: bigint;
  readonly smpStop: bigint;
  readonly smpCrashStop: bigint;
  /** machine_ops.crash_shutdown; undefined: `crash_kexec_post_notifiers` cannot be honoured. */
  readonly crashShutdown: bigint | undefined;
  /** Where the crash stub points machine_ops.crash_shutdown while panic() runs its notifiers. */
  readonly hookCrashShutdown: bigint;
  /** undefined: NT_PRSTATUS has no pid until the kernel saves its own. */
  readonly currentTask: CurrentTask | undefined;
  readonly end: bigint;
  /** Of symbols that the kernel has. */
  readonly symbols: ReadonlyMap<KernelSymbolName, bigint>;
  /** What turns the kernel's image into `bytes`: as the manifest has it, and as bytes. */
  readonly edits: readonly KernelEdit[];
  readonly edited: readonly EditedBytes[];
  readonly facts: readonly KernelFact[];
}

/** A function pointer of the kernel that is to lead to an entry of the hook. */
interface PointerEdit extends HookPointer {
  readonly what: string;
  /** The native function, to which it leads in the kernel as it is. */
  readonly native: bigint;
}

/** The hook where it will lie, with every name of the kernel in it resolved. */
interface PlacedHook {
  readonly bytes: Uint8Array;
  readonly nosaveWord: bigint;
  /** Link-time virtual address of one of its symbols. */
  readonly symbol: (name: string) => bigint;
}

/**
 * @param hookObject dist/stubs/hook.o
 * Throws `unsupported` (kCFI, no gap, not SMP) or `missing-fact`, all missing facts in one message.
 */
export function armKernel(kernel: Kernel, hookObject: Uint8Array): ArmedKernel {
  refuseControlFlowIntegrity(kernel);
  const known = findFacts(kernel, hookSize(hookObject));
  const hook = placeHook(kernel, hookObject, known);
  const pointers = pointersToHook(known);
  const edits = makeEdits(kernel, known, hook, pointers);
  const bytes = kernel.image.bytes.slice();
  for (const { offset, after } of edits) bytes.set(after, offset);
  check(kernel, hookObject, known, pointers, bytes, edits);
  const { symbols, end, smpStop, smpCrashStop, crashShutdown, currentTask } = known;
  const hookSum = { name: 'hook sum', value: hex(hook.symbol('hook_sum')), source: 'hook.o' };
  return {
    bytes,
    hookSlots: hook.symbol('hook_slots'),
    nosaveWord: hook.nosaveWord,
    smpStop,
    smpCrashStop,
    crashShutdown,
    hookCrashShutdown: hook.symbol('hook_crash_shutdown'),
    currentTask,
    end,
    symbols,
    edits: edits.map((each) => evidenceOf(kernel, each)),
    edited: edits,
    facts: [...known.facts, hookSum],
  };
}

function placeHook(kernel: Kernel, hookObject: Uint8Array, known: ArmingFacts): PlacedHook {
  const { gap, spared, halt, printk } = known;
  // Without one the hook compares the slot with itself.
  const nosaveWord = spared ?? gap.address + hookSymbol(hookObject, 'hook_sum');
  const { bytes, symbols } = linkHook(hookObject, gap.address, (name) => {
    // Without these hook_halt is never called: any address will do.
    if (earlyHaltNames.has(name)) return halt?.names[name] ?? gap.address;
    if (name === nosaveEnd) return nosaveWord + 8n;
    return kernel.kallsyms.requireAddress(name === '_printk' ? printk : name);
  });
  return { bytes, nosaveWord, symbol: (name) => symbols.get(name) ?? 0n };
}

function pointersToHook({ symbols, smpStop, smpCrashStop, halt }: ArmingFacts): readonly PointerEdit[] {
  const native = (name: KernelSymbolName): bigint => symbols.get(name) ?? 0n;
  const pointers: PointerEdit[] = [
    {
      what: 'smp_ops.stop_other_cpus',
      address: smpStop,
      entry: 'hook_stop',
      native: native('native_stop_other_cpus'),
    },
    {
      what: 'smp_ops.crash_stop_other_cpus',
      address: smpCrashStop,
      entry: 'hook_crash_stop',
      native: native('kdump_nmi_shootdown_cpus'),
    },
  ];
  if (halt !== undefined) {
    pointers.push({
      what: 'pv_ops.irq.halt',
      address: halt.pointer,
      entry: 'hook_halt',
      native: halt.names['native_halt'] ?? 0n,
    });
  }
  return pointers;
}

function makeEdits(
  kernel: Kernel,
  { gap }: ArmingFacts,
  hook: PlacedHook,
  pointers: readonly PointerEdit[],
): readonly EditedBytes[] {
  const free = new Uint8Array(hook.bytes.length).fill(0xcc);
  return [
    edit(kernel, 'hook in a gap of .text', gap.address, hook.bytes, free),
    ...pointers.map(({ what, address, entry, native }) =>
      edit(kernel, what, address, littleEndian(hook.symbol(entry), 8), littleEndian(native, 8)),
    ),
  ];
}

/** Throws `unsupported` where KASLR would not move a pointer, `invariant` when the armed image is not what was meant. */
function check(
  kernel: Kernel,
  object: Uint8Array,
  { gap, halt, spared }: ArmingFacts,
  pointers: readonly HookPointer[],
  bytes: Uint8Array,
  edits: readonly EditedBytes[],
): void {
  checkRelocated(
    kernel,
    pointers.map(({ address }) => address),
  );
  checkArmed(kernel, bytes, edits, {
    object,
    address: gap.address,
    pointers,
    unused: new Set([
      ...(halt === undefined ? earlyHaltNames : []),
      ...(spared === undefined ? [nosaveEnd] : []),
    ]),
  });
}

/** An edit as the manifest has it. */
function evidenceOf({ image }: Kernel, { what, offset, before, after }: EditedBytes): KernelEdit {
  return {
    what,
    address: hex(image.virtual + BigInt(offset)),
    before: Buffer.from(before).toString('hex'),
    after: Buffer.from(after).toString('hex'),
  };
}

function hex(value: bigint): string {
  return `0x${value.toString(16)}`;
}

/** One edit; refuses unless the bytes there are what the kernel's own tables say they must be. */
function edit(
  kernel: Kernel,
  what: string,
  address: bigint,
  after: Uint8Array,
  expected: Uint8Array,
): EditedBytes {
  const { image } = kernel;
  const offset = offsetInImage(image, address, after.length, what);
  const before = Uint8Array.from(image.bytes.subarray(offset, offset + after.length));
  if (Buffer.compare(before, expected) === 0) return { what, offset, before, after };
  throw new SaveoopsError('unsupported', `the kernel does not hold what arming expects at ${what}`, {
    where: `${image.source}, address 0x${address.toString(16)}`,
    found: Buffer.from(before.subarray(0, 16)).toString('hex'),
    wanted: Buffer.from(expected.subarray(0, 16)).toString('hex'),
    hint: 'the kernel is built in a way this version does not know; boot it unarmed and report the package',
  });
}

/** KASLR must move every pointer to the hook. */
function checkRelocated(kernel: Kernel, pointers: readonly bigint[]): void {
  const { words64, words32 } = kernel.relocations;
  if (words64.length + words32.length === 0) return;
  const unmoved = pointers.filter((address) => !words64.includes(Number(BigInt.asUintN(32, address))));
  if (unmoved.length === 0) return;
  throw new SaveoopsError('unsupported', 'the relocation lists do not fit the hook', {
    where: `${kernel.image.source}, relocation lists`,
    found: `no entry for ${unmoved.map((address) => `0x${address.toString(16)}`).join(', ')}`,
    wanted: 'entries for all function pointers that lead to the hook',
  });
}
