/** What happens when the kernel of a payload panics in a given function: from its code, its symbols and what the build found out. */
import { SaveoopsError } from '../errors.js';
import { asTask, step, type RunOptions } from '../host/task.js';
import { bootPoints, callees, type BootPoint } from '../kernel/boot-points.js';
import { loadKernel, type Kernel } from '../kernel/load-kernel.js';
import { requireFunction } from '../machine/kernel-functions.js';
import type { Manifest } from '../payload/manifest.js';
import { takeApart } from '../payload/take-apart.js';
import { readPayload } from './inspect.js';

/** How sure something is: `unknown` depends on when the function runs. */
export type Sure = 'yes' | 'no' | 'unknown';

/** What happens at a panic there; `saveoops explain --json` prints it. */
export interface Explanation {
  readonly version: 1;
  /** `uname -r` of the primary kernel. */
  readonly release: string;
  readonly function: string;
  /** Link-time address of its first byte, hexadecimal. */
  readonly address: string;
  /** Of the address that was asked for, bytes from the first one. */
  readonly offset: number;
  /** When it runs: `early` before start_kernel; `boot` at a known point of the boot; `init` some time in the boot; `any` also later. */
  readonly when: 'early' | 'boot' | 'init' | 'any';
  /** The same for a person, with the point of the boot. */
  readonly moment: string;
  /** Whether the panic is captured. */
  readonly captured: Sure;
  /** Why, and how. */
  readonly how: string;
  /** ELF notes of /proc/vmcore, and who writes them. */
  readonly notes: readonly string[];
  /** What stops interrupts before the crash kernel starts. */
  readonly quiescing: string;
  /** Programs, and whether they read a dump of this moment. docs/readers.md has how that was measured. */
  readonly readers: readonly { readonly name: string; readonly reads: Sure; readonly remark: string }[];
  /** What else counts. */
  readonly remarks: readonly string[];
}

/** Milestones of the boot, as functions: they are behind when the points behind them run. Of several the first that a kernel has. */
const milestones = {
  /**
   * makedumpfile needs mem_section, which sparse_init() makes (docs/readers.md): setup_arch() calls it through a pointer
   * (x86_init.paging.pagetable_init), and then, directly, these.
   */
  memoryModel: ['tboot_probe', 'map_vsyscall', 'early_quirks', 'acpi_boot_init'],
  pageAllocator: ['mem_init', 'mm_core_init'],
  /** The kernel's own crash path works from here on (kernel/crash_core.c, kernel/kexec_core.c). */
  crashNotes: ['crash_notes_memory_init'],
  /** Where crash and drgn were measured. */
  console: ['console_init'],
} as const;

/**
 * @param place a function's name, or an address in the kernel: link-time, as in System.map and `nm vmlinux`, or NAME+0xOFFSET
 * @param payload a saveoops.c32, or its folder
 * @throws {@link SaveoopsError} of kind `missing-fact` for no function of this kernel, and what reading the payload throws
 */
export async function explain(place: string, payload: string, run: RunOptions = {}): Promise<Explanation> {
  return await asTask(run, async () => {
    const { path, bytes } = await readPayload(payload);
    const { manifest, image } = takeApart(bytes, path);
    step('Decompressing the kernel');
    const original = Buffer.concat([image.setup, image.original.bytes]);
    const kernel = await loadKernel(original, manifest.primary.kernelFile);
    return explainer(kernel, manifest)(place);
  });
}

/** Explains places of one kernel. What it gives throws `missing-fact` for what is no function. */
export function explainer(kernel: Kernel, manifest: Manifest): (place: string) => Explanation {
  const boot = bootOf(kernel);
  return (place) => explainPlace(boot, manifest, findPlace(kernel, place));
}

/** The boot of one kernel. */
interface Boot {
  readonly points: readonly BootPoint[];
  /** Names in the order in which the boot comes by them. */
  readonly timeline: readonly string[];
  /** Functions that have run, and are gone, when start_kernel begins. */
  readonly early: ReadonlySet<string>;
  readonly isInit: (address: bigint) => boolean;
}

interface Place {
  readonly name: string;
  readonly address: bigint;
  readonly offset: number;
}

/** Throws `missing-fact`. */
function findPlace({ kallsyms }: Kernel, text: string): Place {
  const [, name = text, offset = '0'] = /^([A-Za-z_][\w.]*)(?:\+(0x[0-9a-f]+|\d+))?$/i.exec(text) ?? [];
  if (!/^(?:0x)?[0-9a-f]{16}$/i.test(text)) {
    return { name, address: requireFunction(kallsyms, name), offset: Number(offset) };
  }
  const address = BigInt(text.startsWith('0x') ? text : `0x${text}`);
  const start = [...kallsyms]
    .filter((symbol) => /^[TtWw]$/.test(symbol.type) && symbol.address <= address)
    .reduce<{ name: string; address: bigint } | undefined>(
      (best, symbol) => (best === undefined || symbol.address > best.address ? symbol : best),
      undefined,
    );
  const end = start === undefined ? undefined : kallsyms.nextAddress(start.address);
  if (start === undefined || end === undefined || address >= end) {
    throw new SaveoopsError('missing-fact', 'no function of the kernel lies there', {
      where: `0x${address.toString(16)}`,
      found: 'no symbol of code at or before it',
      wanted: 'a link-time address: with KASLR an address of a running kernel minus its "Kernel Offset"',
    });
  }
  return { name: start.name, address: start.address, offset: Number(address - start.address) };
}

function explainPlace(boot: Boot, manifest: Manifest, { name, address, offset }: Place): Explanation {
  const { when, moment, at } = momentOf(boot, name, address);
  /** Whether a milestone is behind when the function runs. */
  const past = (milestone: readonly string[]): Sure => {
    if (when === 'early') return 'no';
    const its = boot.timeline.findIndex((each) => milestone.includes(each));
    if (at === undefined || its < 0) return 'unknown';
    return at >= its ? 'yes' : 'no';
  };
  const crashNotes = past(milestones.crashNotes);
  return {
    version: 1,
    release: manifest.primary.release,
    function: name,
    address: `0x${address.toString(16)}`,
    offset,
    when,
    moment,
    captured: when === 'early' ? 'no' : 'yes',
    how:
      when === 'early'
        ? 'nothing is captured before start_kernel'
        : 'panic() prints its message, then its pointer in smp_ops leads to the hook, which starts the crash stub',
    notes: notesAt(when, crashNotes),
    quiescing: quiescingAt(when, crashNotes),
    readers: when === 'early' ? [] : readersAt(past),
    remarks: remarksOn(manifest, when),
  };
}

function bootOf(kernel: Kernel): Boot {
  const { kallsyms } = kernel;
  const points = bootPoints(kernel);
  const [from] = kallsyms.addresses('_sinittext');
  const [to] = kallsyms.addresses('_einittext');
  const isInit = (address: bigint): boolean =>
    from !== undefined && to !== undefined && address >= from && address < to;
  return {
    points,
    timeline: timelineOf(kernel, points),
    early: earlyFunctions(kernel, points, isInit),
    isInit,
  };
}

/** What setup_arch calls stands where start_kernel calls setup_arch. */
function timelineOf(kernel: Kernel, points: readonly BootPoint[]): readonly string[] {
  const outer = callees(kernel, 'start_kernel');
  const inner = points.flatMap(({ name, phase }) => (phase === 'setup_arch' ? [name] : []));
  const initcalls = points.flatMap(({ name, phase }) => (phase.startsWith('initcall') ? [name] : []));
  return [
    'start_kernel',
    ...outer.flatMap((name) => (name === 'setup_arch' ? [name, ...inner] : [name])),
    ...initcalls,
  ];
}

/** x86_64_start_kernel() and what it alone calls, and the assembly before it (arch/x86/kernel/head_64.S, head64.c). */
function earlyFunctions(
  kernel: Kernel,
  points: readonly BootPoint[],
  isInit: Boot['isInit'],
): ReadonlySet<string> {
  const { kallsyms } = kernel;
  const first = 'x86_64_start_kernel';
  const known = ['startup_64', 'secondary_startup_64', '__startup_64', 'x86_64_start_reservations', first];
  const later = new Set(points.map(({ name }) => name));
  const called = kallsyms.addresses(first).length === 1 ? callees(kernel, first) : [];
  return new Set([
    ...known,
    ...called.filter((name) => kallsyms.addresses(name).every(isInit) && !later.has(name)),
  ]);
}

interface Moment {
  readonly when: Explanation['when'];
  readonly moment: string;
  /** Index in the timeline; undefined: not known. */
  readonly at: number | undefined;
}

function momentOf({ points, timeline, early, isInit }: Boot, name: string, address: bigint): Moment {
  if (early.has(name)) {
    return { when: 'early', moment: 'before start_kernel: early code of the kernel', at: undefined };
  }
  // Only these run once: what start_kernel calls first may be called again at any time.
  if (!isInit(address) && name !== 'start_kernel') {
    return { when: 'any', moment: 'in the boot and later, whenever it is called', at: undefined };
  }
  const at = timeline.indexOf(name);
  if (at < 0) return { when: 'init', moment: 'once, in the boot; from where is not known', at: undefined };
  const phase = points.find((point) => point.name === name)?.phase ?? 'start_kernel';
  const where =
    name === 'start_kernel'
      ? 'the first C function of the kernel proper'
      : phase.startsWith('initcall')
        ? `initcall of level "${phase.slice('initcall '.length)}"`
        : `called by ${phase}`;
  return { when: 'boot', moment: `once, in the boot: ${where}, point ${at + 1} of ${timeline.length}`, at };
}

function notesAt(when: Explanation['when'], crashNotes: Sure): readonly string[] {
  if (when === 'early') return [];
  const before = [
    'VMCOREINFO, made by the build from the symbols of this kernel and completed at the crash',
    'NT_PRSTATUS of the CPU that panics, by the crash stub',
  ];
  const after = ["VMCOREINFO, the kernel's own", "NT_PRSTATUS of every CPU, by the kernel's own crash path"];
  if (crashNotes === 'yes') return after;
  if (crashNotes === 'no') return before;
  return [
    ...before.map((note) => `before ${milestones.crashNotes[0]}: ${note}`),
    ...after.map((note) => `after it: ${note}`),
  ];
}

function quiescingAt(when: Explanation['when'], crashNotes: Sure): string {
  const after = "the kernel's own machine_crash_shutdown()";
  const before =
    'nothing while interrupts have never been enabled; then the crash stub: IO-APIC, local APIC, interrupt mode, HPET';
  if (when === 'early') return 'nothing';
  if (crashNotes === 'yes') return after;
  return crashNotes === 'no' ? before : `before ${milestones.crashNotes[0]}: ${before}; after it: ${after}`;
}

/** As measured in docs/readers.md. */
function readersAt(past: (milestone: readonly string[]) => Sure): Explanation['readers'] {
  const memory = past(milestones.memoryModel);
  const late = past(milestones.crashNotes);
  const console = past(milestones.console);
  return [
    { name: 'vmcore-dmesg', reads: 'yes', remark: 'from start_kernel on' },
    {
      name: 'makedumpfile',
      reads: memory,
      remark:
        memory !== 'yes'
          ? 'needs what sparse_init() makes, in setup_arch()'
          : past(milestones.pageAllocator) === 'no'
            ? 'so early a filter leaves out nothing: take -d 1'
            : '',
    },
    {
      name: 'crash',
      reads: late === 'yes' ? 'yes' : 'unknown',
      remark: late === 'yes' ? '' : 'measured late only; crash --minimal works at console_init, too',
    },
    {
      name: 'drgn',
      reads: late === 'yes' || console === 'yes' ? 'yes' : 'unknown',
      remark: late === 'yes' ? '' : 'measured at console_init and late; no task list before userspace',
    },
  ];
}

function remarksOn({ primary, afterReset, facts }: Manifest, when: Explanation['when']): readonly string[] {
  const words = primary.append.split(/\s+/);
  const halts = facts.some(({ name }) => name === 'pv_ops.irq.halt');
  return [
    ...(when === 'any' ? ['once userspace has loaded a kdump crash kernel, that one goes first'] : []),
    ...(words.includes('crash_kexec_post_notifiers')
      ? ['crash_kexec_post_notifiers: panic notifiers and pstore run before']
      : []),
    primary.oopsPanic || words.includes('oops=panic')
      ? 'oops=panic: an oops there is a panic, too'
      : 'an oops there is a panic only in interrupts, in process 1, or with build --oops-panic',
    ...(halts && when !== 'any'
      ? [
          'an exception before the kernel has handlers of its own is captured, too, though the kernel only halts',
        ]
      : []),
    afterReset
      ? 'a hang there is captured by the next boot, after a reset'
      : 'a hang there is not captured: build --after-reset',
  ];
}
