/**
 * Arms a stock kernel: the hook goes into a gap of .text, and two function pointers in smp_ops lead to it. Nothing
 * else of the kernel changes, and checkArmed() re-reads the result to say so.
 */
import { ByteWriter } from '../bytes/byte-writer.js';
import { SaveoopsError } from '../errors.js';
import { offsetInImage } from '../kernel/flat-image.js';
import type { Kernel } from '../kernel/load-kernel.js';
import type { KernelEdit, KernelFact } from '../kernel/evidence.js';
import { kernelSymbolNames, type KernelSymbolName } from '../stubs/shared-layout.js';
import { checkArmed, type EditedBytes, type HookPointer } from './check-armed.js';
import { findReference } from './code-references.js';
import { refuseControlFlowIntegrity } from './control-flow-integrity.js';
import { findCurrentTask, type CurrentTask } from './current-task.js';
import { earlyHaltNames, findEarlyHalt } from './early-halt.js';
import { findGaps, type Gap } from './find-gap.js';
import { findFixmapWindow, fixmapTable } from './fixmap-window.js';
import { hookSize, hookSymbol, linkHook } from './link-hook.js';
import { findNosaveWord, nosaveEnd } from './nosave-word.js';
import { unknownResources } from './resource-tree.js';
import { unpublishedSymbols } from './vmcoreinfo.js';

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
  readonly edits: readonly KernelEdit[];
  readonly facts: readonly KernelFact[];
}

/** Symbols without which a capture cannot work; the others are used when they exist. */
const neededSymbols: readonly KernelSymbolName[] = [
  'machine_crash_shutdown',
  'crash_smp_send_stop',
  'native_stop_other_cpus',
  'kdump_nmi_shootdown_cpus',
  'crash_notes',
  '__per_cpu_offset',
  'nr_cpu_ids',
  'panic_timeout',
  'kexec_crash_image',
];

/**
 * @param hookObject dist/stubs/hook.o
 * Throws `unsupported` (kCFI, no gap, not SMP) or `missing-fact`, all missing facts in one message.
 */
export function armKernel(kernel: Kernel, hookObject: Uint8Array): ArmedKernel {
  const { kallsyms, btf, image } = kernel;
  refuseControlFlowIntegrity(kernel);
  const facts: KernelFact[] = [];
  const missing: string[] = [];
  const hex = (value: bigint): string => `0x${value.toString(16)}`;
  const find = (name: string, needed: boolean): bigint | undefined => {
    const address = kallsyms.address(name);
    if (address !== undefined) facts.push({ name, value: hex(address), source: 'kallsyms' });
    else if (needed) missing.push(name);
    return address;
  };
  const symbols = new Map<KernelSymbolName, bigint>();
  const unused = [...unpublishedSymbols(kernel), ...unknownResources(kernel)];
  for (const name of kernelSymbolNames) {
    if (unused.includes(name)) continue;
    const address = find(name, neededSymbols.includes(name));
    if (address !== undefined) symbols.set(name, address);
  }
  const smpOps = find('smp_ops', true) ?? 0n;
  find('level3_kernel_pgt', true);
  find(fixmapTable, true);
  find('_text', true);
  const end = find('_end', true) ?? 0n;
  for (const name of ['panic_cpu', 'emergency_restart', 'panic']) find(name, true);
  // Until 5.14 the function itself was called printk.
  const printk = kallsyms.address('_printk') === undefined ? 'printk' : '_printk';
  find(printk, true);
  const machineOps = find('machine_ops', false);
  if (missing.length > 0) throw missingSymbols(kernel, missing);
  facts.push(findFixmapWindow(kernel));

  const stopOffset = btf.memberOffset('struct smp_ops', 'stop_other_cpus');
  const crashStopOffset = btf.memberOffset('struct smp_ops', 'crash_stop_other_cpus');
  facts.push(
    { name: 'smp_ops.stop_other_cpus', value: String(stopOffset), source: 'BTF struct smp_ops' },
    { name: 'smp_ops.crash_stop_other_cpus', value: String(crashStopOffset), source: 'BTF struct smp_ops' },
  );
  const crashShutdown =
    machineOps !== undefined && btf.hasMember('struct machine_ops', 'crash_shutdown')
      ? machineOps + BigInt(btf.memberOffset('struct machine_ops', 'crash_shutdown'))
      : undefined;
  if (crashShutdown !== undefined) {
    facts.push({
      name: 'machine_ops.crash_shutdown',
      value: hex(crashShutdown),
      source: 'kallsyms, BTF struct machine_ops',
    });
  }
  const currentTask = findCurrentTask(kernel);
  if (currentTask !== undefined) facts.push(...currentTask.facts);
  const gap = chooseGap(kernel, hookSize(hookObject));
  facts.push({
    name: 'gap',
    value: `${hex(gap.address)} +${gap.size}`,
    source: `int3 run after ${gap.after}`,
  });
  const spared = findNosaveWord(kernel);
  if (spared !== undefined)
    facts.push({ name: 'nosave word', value: hex(spared), source: `kallsyms ${nosaveEnd}, image` });
  // Without one the hook compares the slot with itself.
  const nosaveWord = spared ?? gap.address + hookSymbol(hookObject, 'hook_sum');
  const halt = findEarlyHalt(kernel);
  if (halt !== undefined) facts.push(...halt.facts);
  const hook = linkHook(hookObject, gap.address, (name) => {
    // Without these hook_halt is never called: any address will do.
    if (earlyHaltNames.has(name)) return halt?.names[name] ?? gap.address;
    if (name === nosaveEnd) return nosaveWord + 8n;
    return kallsyms.requireAddress(name === '_printk' ? printk : name);
  });
  const entry = (name: string): bigint => hook.symbols.get(name) ?? 0n;
  facts.push({ name: 'hook sum', value: hex(entry('hook_sum')), source: 'hook.o' });

  const native = (name: KernelSymbolName): bigint => symbols.get(name) ?? 0n;
  const edits = [
    edit(
      kernel,
      'hook in a gap of .text',
      gap.address,
      hook.bytes,
      new Uint8Array(hook.bytes.length).fill(0xcc),
    ),
    edit(
      kernel,
      'smp_ops.stop_other_cpus',
      smpOps + BigInt(stopOffset),
      word(entry('hook_stop')),
      word(native('native_stop_other_cpus')),
    ),
    edit(
      kernel,
      'smp_ops.crash_stop_other_cpus',
      smpOps + BigInt(crashStopOffset),
      word(entry('hook_crash_stop')),
      word(native('kdump_nmi_shootdown_cpus')),
    ),
  ];
  const pointers: HookPointer[] = [
    { address: smpOps + BigInt(stopOffset), entry: 'hook_stop' },
    { address: smpOps + BigInt(crashStopOffset), entry: 'hook_crash_stop' },
  ];
  if (halt !== undefined) {
    const before = halt.names['native_halt'] ?? 0n;
    edits.push(edit(kernel, 'pv_ops.irq.halt', halt.pointer, word(entry('hook_halt')), word(before)));
    pointers.push({ address: halt.pointer, entry: 'hook_halt' });
  }
  checkRelocated(
    kernel,
    pointers.map(({ address }) => address),
  );
  const bytes = image.bytes.slice();
  for (const { offset, after } of edits) bytes.set(after, offset);
  checkArmed(kernel, bytes, edits, {
    object: hookObject,
    address: gap.address,
    pointers,
    unused: new Set([
      ...(halt === undefined ? earlyHaltNames : []),
      ...(spared === undefined ? [nosaveEnd] : []),
    ]),
  });
  return {
    bytes,
    hookSlots: entry('hook_slots'),
    nosaveWord,
    smpStop: smpOps + BigInt(stopOffset),
    smpCrashStop: smpOps + BigInt(crashStopOffset),
    crashShutdown,
    hookCrashShutdown: entry('hook_crash_shutdown'),
    currentTask,
    end,
    symbols,
    edits: edits.map(({ what, offset, before, after }) => ({
      what,
      address: hex(image.virtual + BigInt(offset)),
      before: Buffer.from(before).toString('hex'),
      after: Buffer.from(after).toString('hex'),
    })),
    facts,
  };
}

function word(value: bigint): Uint8Array {
  const writer = ByteWriter.ofSize(8);
  writer.u64(0, value);
  return writer.bytes;
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

/** The largest gap that nothing in the kernel refers to. Throws `unsupported` when there is none. */
function chooseGap(kernel: Kernel, size: number): Gap {
  const references: string[] = [];
  for (const gap of findGaps(kernel, size)) {
    const reference = findReference(kernel, gap.address, size);
    if (reference === undefined) return gap;
    references.push(`0x${gap.address.toString(16)}: ${reference}`);
  }
  throw new SaveoopsError('unsupported', 'the kernel has no room for the hook that is certainly unused', {
    where: `${kernel.image.source}, .text`,
    found: references.join('; '),
    wanted: 'a gap that nothing refers to',
    hint: 'please report the kernel package: stock kernels have such gaps',
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

function missingSymbols(kernel: Kernel, names: readonly string[]): SaveoopsError {
  // By functions, which kallsyms has in any case.
  const options = [
    ...(hasData(kernel) ? [] : ['CONFIG_KALLSYMS_ALL']),
    ...(names.includes('native_stop_other_cpus') ? ['CONFIG_SMP'] : []),
    ...(names.includes('machine_crash_shutdown') ? ['CONFIG_KEXEC and CONFIG_CRASH_DUMP'] : []),
  ];
  const usual = 'an SMP kernel with CONFIG_KALLSYMS_ALL, CONFIG_KEXEC and CONFIG_CRASH_DUMP';
  return new SaveoopsError('missing-fact', 'the kernel lacks symbols that arming needs', {
    where: `${kernel.image.source}, kallsyms`,
    found: `no ${names.join(', ')}`,
    wanted: options.length === 0 ? usual : `a kernel with ${options.join(', ')}`,
    hint: 'distribution kernels have all of these',
  });
}

/** Whether kallsyms has variables: without CONFIG_KALLSYMS_ALL it has what lies in .text and .init.text. */
function hasData({ kallsyms }: Kernel): boolean {
  for (const { type } of kallsyms) if (/[bd]/i.test(type)) return true;
  return false;
}
