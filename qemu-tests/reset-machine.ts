/** Machines that are reset while a kernel runs, and what the next boot makes of that: for after-reset.test.ts and its lane. */
import { expect } from '@jest/globals';
import type { Machine } from '../src/machine/machine.js';
import { injectReset, resetOptions, type ResetKind } from '../src/machine/inject-reset.js';
import type { QmpClient } from '../src/machine/qmp.js';
import type { ScenarioResult } from '../src/machine/scenario.js';
import { captureAfterReset, lastLineBeforeReset } from '../src/machine/serial-parts.js';
import { serialLines } from '../src/machine/serial-text.js';
import { bootPayload, captured, check, serialConsole, type BootOptions } from './harness/boot.js';
import { guestInitramfs, type GuestFile } from './harness/guest.js';
import { payload, type PayloadOptions } from './harness/payloads.js';
import { injectorFor } from './inject.js';

/** In the dead kernel's log, its last line. */
export const lastWords = 'guest: the last words';
export const up = /^guest: up$/;
const patience = 150_000;

/** A system that does what `guest.do=` on its command line says, once it is up. */
export async function resetGuest(files: readonly GuestFile[], more: string): Promise<string> {
  return await guestInitramfs(
    `
echo "${lastWords}" >/dev/kmsg
echo "guest: up"
case $(cat /proc/cmdline) in
  *guest.do=reboot*) reboot -f ;;
  *guest.do=force*) echo 1 >/sys/kernel/reboot/force && reboot -f ;;
  *guest.do=halt*) halt -f ;;
  *guest.do=sysrq-b*) echo b >/proc/sysrq-trigger ;;
${more}esac
sleep 10000
`,
    files,
  );
}

export async function resetPayload(
  files: readonly GuestFile[] = [],
  more = '',
  options: Partial<PayloadOptions> = {},
): Promise<string> {
  return await payload({
    flavour: 'amd64',
    initrds: [await resetGuest(files, more)],
    append: 'sysrq_always_enabled',
    afterReset: true,
    crashAppend: 'saveoops.hold=0',
    name: 'after-reset',
    ...options,
  });
}

/** For a run's options: the primary is reset at a function. */
export async function resetAt(
  dir: string,
  kind: ResetKind,
  name: string,
): Promise<Pick<BootOptions, 'debug' | 'meanwhile'>> {
  const injector = await injectorFor(dir);
  return injectReset(kind, name, (gdb) => injector.debuggerOf(gdb));
}

export type ResetOptions = Omit<BootOptions, 'extraAppend'> & {
  /** For the primary: `guest.do=` and what else it is to get. */
  readonly words?: string;
};

const options = ({ words = '', extra = [], ...more }: ResetOptions): BootOptions => ({
  memory: 512,
  timeout: 400,
  extraAppend: `${serialConsole} ${words}`,
  // The harness' default is that a reset ends the run.
  extra: [...resetOptions, ...extra],
  ...more,
});

/** For expectCaptured(): the last line that the kernel printed on the serial port before it was reset. */
export const lastOnSerial = Symbol('last line on the serial port');

function lastLine(run: ScenarioResult, last: string | symbol): string {
  return typeof last === 'string' ? last : (lastLineBeforeReset(run.serial) ?? '');
}

/** Runs until the next boot has captured; the log's last line is what the kernel had said last. */
export async function expectCaptured(
  dir: string,
  more: ResetOptions,
  last: string | symbol = lastWords,
): Promise<ScenarioResult> {
  const run = await bootPayload(dir, options(more));
  const log = captured(run, lastLine(run, last));
  check(run, () => {
    expect(serialLines(run.serial)).toContain(captureAfterReset);
    expect(log.trimEnd().split('\n').at(-1)).toContain(lastLine(run, last));
  });
  return run;
}

/**
 * Ends a boot from outside.
 * @param from lines of this boot are behind it
 * @param boot 1 for the first
 */
export type Leave = (machine: Machine, qmp: QmpClient, from: number, boot: number) => Promise<void>;

/** Runs until the system has come up again that many times; each boot ends by `leave`, or by itself. */
export async function expectNoCapture(
  dir: string,
  more: ResetOptions,
  leave?: Leave,
  times = 1,
): Promise<ScenarioResult> {
  const run = await bootPayload(dir, {
    ...options({ timeout: 400 * times, ...more }),
    endAt: [],
    meanwhile: async (machine, connect) => {
      const qmp = await connect();
      let from = 0;
      for (let boot = 1; ; boot++) {
        const found = await machine.waitForLine([up, new RegExp(captureAfterReset)], {
          timeoutMs: patience,
          from,
        });
        if (found.kind !== 'line') return;
        if (!up.test(found.line) || boot > times) break;
        from = found.index + 1;
        await leave?.(machine, qmp, from, boot);
      }
      await qmp.quit();
    },
  });
  check(run, () => {
    const lines = serialLines(run.serial);
    expect(lines.filter((line) => up.test(line)).length).toBe(times + 1);
    expect(lines).not.toContain(captureAfterReset);
  });
  return run;
}

/** For `meanwhile`: presses the button once the system is up. */
export const buttonWhenUp: NonNullable<BootOptions['meanwhile']> = async (machine, connect) => {
  const found = await machine.waitForLine([up], { timeoutMs: patience });
  if (found.kind === 'line') await (await connect()).systemReset();
};
