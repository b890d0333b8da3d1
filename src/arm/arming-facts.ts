/**
 * What arming must know of a kernel: addresses of kallsyms, offsets of BTF, a gap for the hook. Each fact is listed with its
 * source, for the manifest.
 */
import { SaveoopsError } from '../errors.js';
import type { KernelFact } from '../kernel/evidence.js';
import type { Kernel } from '../kernel/load-kernel.js';
import { kernelSymbolNames, type KernelSymbolName } from '../stubs/shared-layout.js';
import { findReference } from './code-references.js';
import { findCurrentTask, type CurrentTask } from './current-task.js';
import { findEarlyHalt, type EarlyHalt } from './early-halt.js';
import { findGaps, type Gap } from './find-gap.js';
import { findFixmapWindow, fixmapTable } from './fixmap-window.js';
import { findNosaveWord, nosaveEnd } from './nosave-word.js';
import { findOrderlyEnd } from './orderly-end.js';
import { unknownResources } from './resource-tree.js';
import { unpublishedSymbols } from './vmcoreinfo.js';

/** Link-time virtual addresses. */
export interface ArmingFacts {
  /** Of symbols that the kernel has. */
  readonly symbols: ReadonlyMap<KernelSymbolName, bigint>;
  readonly end: bigint;
  /** Name of the function that prints. */
  readonly printk: string;
  /** The pointers smp_ops.stop_other_cpus and smp_ops.crash_stop_other_cpus. */
  readonly smpStop: bigint;
  readonly smpCrashStop: bigint;
  /** machine_ops.crash_shutdown; undefined: `crash_kexec_post_notifiers` cannot be honoured. */
  readonly crashShutdown: bigint | undefined;
  /** undefined: NT_PRSTATUS has no pid until the kernel saves its own. */
  readonly currentTask: CurrentTask | undefined;
  readonly gap: Gap;
  /** A word that hibernation spares; undefined: this kernel has none. */
  readonly spared: bigint | undefined;
  /** undefined: early exceptions do not reach the hook. */
  readonly halt: EarlyHalt | undefined;
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
 * @param size of the hook, bytes
 * Throws `unsupported` (no gap) or `missing-fact`, all missing symbols in one message.
 */
export function findFacts(kernel: Kernel, size: number): ArmingFacts {
  const { kallsyms, btf } = kernel;
  const facts: KernelFact[] = [];
  const missing: string[] = [];
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
  const gap = chooseGap(kernel, size);
  facts.push({
    name: 'gap',
    value: `${hex(gap.address)} +${gap.size}`,
    source: `int3 run after ${gap.after}`,
  });
  const spared = findNosaveWord(kernel);
  if (spared !== undefined)
    facts.push({ name: 'nosave word', value: hex(spared), source: `kallsyms ${nosaveEnd}, image` });
  const orderlyEnd = findOrderlyEnd(kernel, smpOps + BigInt(stopOffset));
  if (orderlyEnd !== undefined) facts.push(orderlyEnd);
  const halt = findEarlyHalt(kernel);
  if (halt !== undefined) facts.push(...halt.facts);
  return {
    symbols,
    end,
    printk,
    smpStop: smpOps + BigInt(stopOffset),
    smpCrashStop: smpOps + BigInt(crashStopOffset),
    crashShutdown,
    currentTask,
    gap,
    spared,
    halt,
    facts,
  };
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

function hex(value: bigint): string {
  return `0x${value.toString(16)}`;
}
