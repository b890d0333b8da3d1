/** One point of the sweep: boot, panic or reset there, compare what came back with what the serial port showed. */
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readManifest } from '../../src/image/payload-folder.js';
import type { Kernel } from '../../src/kernel/load-kernel.js';
import { injectPanic } from '../../src/machine/inject-panic.js';
import { injectReset, resetOptions, type ResetKind } from '../../src/machine/inject-reset.js';
import { KernelDebugger, type KernelFacts } from '../../src/machine/kernel-debugger.js';
import { functionAddress } from '../../src/machine/kernel-functions.js';
import { captureEnds, judgeCapture } from '../../src/machine/outcome.js';
import { runScenario, type Scenario } from '../../src/machine/scenario.js';
import { captureAfterReset, lastLineBeforeReset } from '../../src/machine/serial-parts.js';
import type { Manifest } from '../../src/payload/manifest.js';
import { build } from '../../src/library/build.js';
import { missingLines } from './compare-logs.js';
import type { BootPoint } from '../../src/kernel/boot-points.js';
import { unattendedDisk } from '../harness/unattended-disk.js';
import type { SweepResult, SweepWay } from './report.js';
import { userspacePhase } from './userspace.js';

/** Every message on the serial port from the first moment on, without a console driver. */
const everyMessage = 'ignore_loglevel earlyprintk=ttyS0,115200,keep';
/** Under UEFI the entry stub lies where firmware has room, so that the debugger cannot follow it: no KASLR then. */
export const commandLines: Readonly<Record<SweepWay, string>> = {
  bios: everyMessage,
  uefi: `${everyMessage} nokaslr`,
  reset: everyMessage,
};
/** Seconds. */
const timeouts: Readonly<Record<SweepWay, number>> = { bios: 120, uefi: 120, reset: 400 };

/** Those that need no watchdog. */
const resetKinds = ['triple-fault', 'hang', 'button'] as const satisfies readonly ResetKind[];

/** How a point's kernel ends, in turn along the timeline. */
export function resetKindOf(index: number): ResetKind {
  return resetKinds[index % resetKinds.length] ?? 'button';
}

export interface Sweep {
  readonly kernel: Kernel;
  /** Composed image, for QEMU -kernel: SeaBIOS enters it at code32_start, OVMF at its PE entry. For resets a disk. */
  readonly image: string;
  readonly debug: Manifest['debug'];
  readonly way: SweepWay;
  readonly cpus: number;
  /** Initramfs of the primary, for points beyond the boot. */
  readonly userspace: string;
}

/** Builds the image that all points of a kernel share. */
export async function sweepImage(vmlinuz: string, out: string): Promise<Pick<Sweep, 'image' | 'debug'>> {
  await build({ kernel: vmlinuz, crashAppend: 'saveoops.hold=0 quiet', out, format: 'bzimage' });
  const { debug } = await readManifest(out);
  return { image: join(out, 'saveoops.bzimage'), debug };
}

/** The same for resets, which nothing but the COM32 module captures: a disk with Syslinux. */
export async function sweepDisk(
  vmlinuz: string,
  userspace: string,
  out: string,
): Promise<Pick<Sweep, 'image' | 'debug'>> {
  const crashAppend = 'saveoops.hold=0 quiet';
  await build({ kernel: vmlinuz, initrd: [userspace], crashAppend, afterReset: true, out });
  const { debug } = await readManifest(out);
  return { image: await unattendedDisk(out, 'saveoops', commandLines.reset, out), debug };
}

/** @param kind for a sweep of resets */
export async function runPoint(
  sweep: Sweep,
  point: BootPoint,
  kind: ResetKind = 'button',
): Promise<SweepResult> {
  const message = `Saveoops sweep ${randomBytes(6).toString('hex')}`;
  const folder = mkdtempSync(join(tmpdir(), 'svo-'));
  const facts: KernelFacts = {
    linkAddressOf: (name) => functionAddress(sweep.kernel.kallsyms, name),
    kaslr: sweep.way === 'uefi' ? { kind: 'known', offset: 0n } : { kind: 'payload', debug: sweep.debug },
    timeoutMs: timeouts[sweep.way] * 1000,
  };
  let reached = false;
  const dying = sweep.way === 'reset' ? byReset(kind) : byPanic();
  try {
    const run = await runScenario({
      ...dying,
      debug: async (gdb) => {
        await dying.debug(gdb);
        reached = true;
      },
      folder,
      timeout: timeouts[sweep.way],
      endAt: captureEnds,
    });
    const last = sweep.way === 'reset' ? (lastLineBeforeReset(run.serial) ?? '') : message;
    const outcome = judgeCapture(run, last);
    const missing = missingLines(run.serial, outcome.recovered?.text ?? '');
    return {
      ...point,
      ...(sweep.way === 'reset' && { phase: `${point.phase}; ${kind}` }),
      reached,
      stub: /^saveoops: kernel panic/m.test(run.serial) || run.serial.includes(captureAfterReset),
      crashKernel: outcome.recovered !== undefined,
      recovered: outcome.outcome === 'passed',
      lines: outcome.recovered?.text.split('\n').length ?? 0,
      missing: missing.length,
      firstMissing: missing[0],
      reason: outcome.outcome === 'passed' ? '' : outcome.reason,
      seconds: Math.round(run.seconds * 10) / 10,
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }

  function byPanic(): Pick<Scenario, 'machine'> & Required<Pick<Scenario, 'debug'>> {
    return {
      machine: {
        boot: {
          kind: 'kernel',
          kernel: sweep.image,
          append: commandLines[sweep.way],
          ...(point.phase === userspacePhase && { initrd: sweep.userspace }),
        },
        firmware: sweep.way === 'uefi' ? 'uefi' : 'bios',
        cpus: sweep.cpus,
      },
      debug: async (gdb) => {
        await injectPanic(gdb, { ...facts, functionName: point.name, message });
      },
    };
  }

  function byReset(
    how: ResetKind,
  ): Pick<Scenario, 'machine'> & Required<Pick<Scenario, 'debug' | 'meanwhile'>> {
    return {
      machine: {
        boot: { kind: 'disk', image: sweep.image },
        cpus: sweep.cpus,
        extra: resetOptions,
      },
      ...injectReset(how, point.name, (gdb) => KernelDebugger.start(gdb, facts)),
    };
  }
}
