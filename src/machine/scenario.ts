/**
 * One run of a machine from start to a definite end, for `saveoops test` and for the project's own tests: any boot
 * source, any end condition, with or without a debugger. Gives what the serial port carried and how the run ended;
 * the judgement is the caller's (outcome.ts has that of a capture).
 */
import { join } from 'node:path';
import { SaveoopsError } from '../errors.js';
import { abortSignal } from '../host/task.js';
import type { GdbRemote } from './gdb-remote.js';
import { Machine } from './machine.js';
import type { RunEnd } from './outcome.js';
import { reproduceLine, type MachineSpec } from './qemu-command.js';
import type { QmpClient } from './qmp.js';

export interface Scenario {
  readonly machine: MachineSpec;
  /** Existing folder for sockets and logs (machine.ts). */
  readonly folder: string;
  /** Wall-clock seconds for the whole run. */
  readonly timeout: number;
  /** Lines that end the run; QEMU's own end ends it always. */
  readonly endAt?: readonly RegExp[];
  /** As endAt, for output that stays an unfinished line: a prompt. */
  readonly endAtPrompt?: readonly RegExp[];
  /** Runs beside the machine with its debugger; the machine stands still until it lets go. Its failure ends the run. */
  readonly debug?: (gdb: GdbRemote) => Promise<void>;
  /** Runs beside the machine, to await lines or use QMP. Its failure ends the run; its success does not. */
  readonly meanwhile?: (machine: Machine, qmp: () => Promise<QmpClient>) => Promise<void>;
}

export interface ScenarioResult {
  /** All that the serial port carried, raw; serialLines() and markedBlocks() take it apart. */
  readonly serial: string;
  readonly end: RunEnd;
  /** Wall-clock seconds. */
  readonly seconds: number;
  readonly reproduce: string;
  /** The serial port's bytes, and what QEMU said. */
  readonly serialLog: string;
  readonly qemuMessages: string;
}

/** Runs a scenario. Throws `tool` when QEMU is not installed; all else is in the result. QEMU is gone afterwards. */
export async function runScenario(scenario: Scenario): Promise<ScenarioResult> {
  const started = performance.now();
  const machine = await Machine.start(scenario.machine, {
    folder: scenario.folder,
    gdb: scenario.debug !== undefined,
    qmp: scenario.meanwhile !== undefined,
  });
  const signal = abortSignal();
  const stop = (): void => void machine.stop();
  signal?.addEventListener('abort', stop);
  const end = await endOf(scenario, machine).finally(async () => {
    signal?.removeEventListener('abort', stop);
    await machine.stop();
  });
  signal?.throwIfAborted();
  const { messages } = await machine.exited;
  return {
    serial: machine.text,
    end,
    seconds: (performance.now() - started) / 1000,
    reproduce: reproduceLine(scenario.machine),
    serialLog: join(scenario.folder, 'serial.log'),
    qemuMessages: messages,
  };
}

async function endOf(scenario: Scenario, machine: Machine): Promise<RunEnd> {
  const watching = machine
    .waitForLine(scenario.endAt ?? [], {
      timeoutMs: scenario.timeout * 1000,
      prompts: scenario.endAtPrompt,
    })
    .then((awaited): RunEnd => {
      switch (awaited.kind) {
        case 'line':
          return { kind: 'line', line: awaited.line };
        case 'timeout':
          return { kind: 'timeout', seconds: scenario.timeout };
        case 'exit': {
          const { code, signal, messages } = awaited.exit;
          // With a status of its own QEMU did not run the machine to its end; what it said tells why.
          return code !== 0 && signal === undefined && messages.trim() !== ''
            ? { kind: 'trouble', message: `QEMU: ${messages.trim().split('\n').join(' | ')}` }
            : { kind: 'exit', code, signal };
        }
      }
    });
  const side: Promise<RunEnd>[] = [];
  const { debug, meanwhile } = scenario;
  if (debug !== undefined) side.push(troubleOf(async () => debug(await machine.gdb())));
  if (meanwhile !== undefined) side.push(troubleOf(() => meanwhile(machine, () => machine.qmp())));
  const first = await Promise.race([watching, ...side]);
  // A broken connection and QEMU's end are one event seen twice: the end says more.
  if (first.kind === 'trouble') {
    const exit = await machine.waitForLine([], { timeoutMs: 200 });
    if (exit.kind === 'exit') return await watching;
  }
  return first;
}

/** Settles only when `work` fails; a bug in the caller's code (no SaveoopsError) is passed on. */
async function troubleOf(work: () => Promise<void>): Promise<RunEnd> {
  try {
    await work();
  } catch (error) {
    if (!(error instanceof SaveoopsError)) throw error;
    return { kind: 'trouble', message: `${error.message} (${error.where}: ${error.found})` };
  }
  return await new Promise(() => undefined);
}
