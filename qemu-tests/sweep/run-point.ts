/** One point of the sweep: boot, panic there, compare what came back with what the serial port showed. */
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readManifest } from '../../src/image/payload-folder.js';
import type { Kernel } from '../../src/kernel/load-kernel.js';
import { injectPanic } from '../../src/machine/inject-panic.js';
import { functionAddress } from '../../src/machine/kernel-functions.js';
import { captureEnds, judgeCapture } from '../../src/machine/outcome.js';
import type { Firmware } from '../../src/machine/qemu-command.js';
import { runScenario } from '../../src/machine/scenario.js';
import type { Manifest } from '../../src/payload/manifest.js';
import { build } from '../../src/library/build.js';
import { missingLines } from './compare-logs.js';
import type { BootPoint } from '../../src/kernel/boot-points.js';
import type { SweepResult } from './report.js';
import { userspacePhase } from './userspace.js';

/** Every message on the serial port from the first moment on, without a console driver. */
const everyMessage = 'ignore_loglevel earlyprintk=ttyS0,115200,keep';
/** Under UEFI the entry stub lies where firmware has room, so that the debugger cannot follow it: no KASLR then. */
export const commandLines: Readonly<Record<Firmware, string>> = {
  bios: everyMessage,
  uefi: `${everyMessage} nokaslr`,
};
/** Seconds. */
const timeout = 120;

export interface Sweep {
  readonly kernel: Kernel;
  /** Composed image, for QEMU -kernel: SeaBIOS enters it at code32_start, OVMF at its PE entry. */
  readonly image: string;
  readonly debug: Manifest['debug'];
  readonly firmware: Firmware;
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

export async function runPoint(sweep: Sweep, point: BootPoint): Promise<SweepResult> {
  const message = `Saveoops sweep ${randomBytes(6).toString('hex')}`;
  const folder = mkdtempSync(join(tmpdir(), 'svo-'));
  let reached = false;
  try {
    const run = await runScenario({
      machine: {
        boot: {
          kind: 'kernel',
          kernel: sweep.image,
          append: commandLines[sweep.firmware],
          ...(point.phase === userspacePhase && { initrd: sweep.userspace }),
        },
        firmware: sweep.firmware,
        cpus: sweep.cpus,
      },
      folder,
      timeout,
      endAt: captureEnds,
      debug: async (gdb) => {
        await injectPanic(gdb, {
          functionName: point.name,
          message,
          linkAddressOf: (name) => functionAddress(sweep.kernel.kallsyms, name),
          kaslr:
            sweep.firmware === 'uefi'
              ? { kind: 'known', offset: 0n }
              : { kind: 'payload', debug: sweep.debug },
          timeoutMs: timeout * 1000,
        });
        reached = true;
      },
    });
    const outcome = judgeCapture(run, message);
    const missing = missingLines(run.serial, outcome.recovered?.text ?? '');
    return {
      ...point,
      reached,
      stub: /^saveoops: kernel panic/m.test(run.serial),
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
}
