/** The judgement on one run in QEMU. Pure. */
import { logEnds } from '../capture-initramfs/markers.js';
import { emulatorFault } from './emulator-faults.js';
import { recoveredLog, type RecoveredLog } from './recovered-log.js';
import { serialParts, type SerialParts } from './serial-parts.js';
import { serialLines } from './serial-text.js';

/** How a run ended, as the harness saw it. */
export type RunEnd =
  /** QEMU ended by itself: the guest reset or powered off. */
  | { readonly kind: 'exit'; readonly code: number | undefined; readonly signal: string | undefined }
  /** A line that the run was told to end at; the machine was then stopped. */
  | { readonly kind: 'line'; readonly line: string }
  | { readonly kind: 'timeout'; readonly seconds: number }
  /** The harness itself could not go on: QEMU did not start, the debugger's connection broke, ... */
  | { readonly kind: 'trouble'; readonly message: string };

export interface Outcome {
  /** `lost`: no verdict, by timeout, trouble of the harness, or a fault of QEMU's (emulator-faults.ts). */
  readonly outcome: 'passed' | 'failed' | 'lost';
  /** One sentence without a final full stop. */
  readonly reason: string;
  readonly recovered: RecoveredLog | undefined;
  readonly parts: SerialParts;
  /** The last lines on the serial port, for a person. */
  readonly lastLines: readonly string[];
  /** A shell line that starts the same machine. */
  readonly reproduce: string;
  /** Wall-clock seconds from QEMU's start to its end. */
  readonly seconds: number;
}

/**
 * Lines that settle a capture run before QEMU ends. The first stands for every numbered line of the stubs and of
 * the COM32 module; the second is Linux's last word when it does not reboot; bootPrompt is Syslinux giving up.
 */
export const wrongEnds: readonly { readonly pattern: RegExp; readonly meaning: string }[] = [
  { pattern: /^saveoops: E/, meaning: 'Saveoops reported a failure' },
  {
    pattern: /---\[ end Kernel panic/,
    meaning: 'a kernel halted after its panic, without capture',
  },
];

/** Lines that settle a capture run: the crash kernel has printed the whole log, or it will not. */
export const captureEnds: readonly RegExp[] = [
  new RegExp(`${logEnds}\\s*$`),
  ...wrongEnds.map(({ pattern }) => pattern),
];

/** Syslinux's prompt: a line without an end (Scenario.endAtPrompt). */
export const bootPrompt = {
  pattern: /^boot: *$/,
  meaning: 'Syslinux fell back to its prompt: the payload did not start',
};

export interface JudgedRun {
  readonly serial: string;
  readonly end: RunEnd;
  readonly reproduce: string;
  readonly seconds: number;
}

/**
 * Passed only when a complete recovered log, as the crash kernel printed it, contains `message`. That a message is
 * elsewhere on the serial port proves nothing: the dying kernel prints it there itself.
 */
export function judgeCapture(run: JudgedRun, message: string): Outcome {
  const recovered = recoveredLog(run.serial);
  const parts = serialParts(run.serial);
  const verdict = captureVerdict(run, recovered, parts, message);
  const { seconds, reproduce } = run;
  return { ...verdict, recovered, parts, reproduce, seconds, lastLines: serialLines(run.serial).slice(-15) };
}

function captureVerdict(
  run: JudgedRun,
  recovered: RecoveredLog | undefined,
  parts: SerialParts,
  message: string,
): Pick<Outcome, 'outcome' | 'reason'> {
  if (recovered?.complete === true) {
    return recovered.text.includes(message)
      ? { outcome: 'passed', reason: `the recovered log contains "${message}"` }
      : withoutThe(message, recovered.text);
  }
  const { end } = run;
  const crash = parts.crash.join('\n');
  const fault = emulatorFault(crash);
  if (fault !== undefined && end.kind !== 'timeout' && end.kind !== 'trouble') {
    return { outcome: 'lost', reason: `the crash kernel died of the emulator: ${fault}` };
  }
  const cut = recovered === undefined ? '' : '; the recovered log was cut short';
  switch (end.kind) {
    case 'line': {
      const meaning =
        [...wrongEnds, bootPrompt].find(({ pattern }) => pattern.test(end.line))?.meaning ?? 'the run ended';
      return { outcome: 'failed', reason: `${meaning}: ${end.line.trim()}${cut}` };
    }
    case 'exit': {
      if (end.signal !== undefined || (end.code ?? 0) !== 0) {
        return {
          outcome: 'lost',
          reason: `QEMU ended with ${end.signal ?? `status ${end.code ?? 0}`}${cut}`,
        };
      }
      if (recovered !== undefined) {
        return { outcome: 'failed', reason: 'the machine reset while it printed the recovered log' };
      }
      const panicked = run.serial.includes(message);
      return {
        outcome: 'failed',
        reason: `${
          panicked
            ? 'the machine reset after the panic without a capture'
            : 'the machine reset before the panic'
        }${panicIn(crash, '; the crash kernel: ')}`,
      };
    }
    case 'timeout':
      return { outcome: 'lost', reason: `no end within ${end.seconds} seconds${cut}` };
    case 'trouble':
      return { outcome: 'lost', reason: `${end.message}${cut}` };
  }
}

/** A capture of something else than the panic of this run. */
function withoutThe(message: string, log: string): Pick<Outcome, 'outcome' | 'reason'> {
  const fault = emulatorFault(log);
  return fault === undefined
    ? { outcome: 'failed', reason: `the recovered log does not contain "${message}"${panicIn(log, ' but ')}` }
    : { outcome: 'lost', reason: `the kernel died of the emulator, and that was captured: ${fault}` };
}

/** The last panic of a kernel, behind `before`. */
function panicIn(log: string, before: string): string {
  const message = [...log.matchAll(/Kernel panic - not syncing: (.*)/g)].at(-1)?.[1];
  return message === undefined ? '' : `${before}"${message.trimEnd()}"`;
}

export const outcomeExitCode: Readonly<Record<Outcome['outcome'], number>> = {
  passed: 0,
  failed: 1,
  lost: 2,
};
