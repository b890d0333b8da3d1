/** `saveoops test DIR`: boots a payload in QEMU, makes the primary kernel panic, and says whether its log came back. */
import { shellWord } from '../host/shell-word.js';
import type { ResultIo } from '../host/output.js';
import { testDefaults } from '../library/test-defaults.js';
import { testPayload, type TestRequest, type TestResult } from '../library/test-payload.js';
import { outcomeExitCode } from '../machine/outcome.js';
import { forJson } from '../safe-text.js';

export interface TestOptions extends TestRequest {
  readonly json?: boolean | undefined;
}

/** Runs one test and gives the exit code: 0 passed, 1 failed, 2 lost. Throws what the inputs or the host deserve. */
export async function runTest({ json, ...request }: TestOptions, io: ResultIo): Promise<number> {
  const result = await testPayload(request, io);
  io.out(json === true ? `${forJson(result)}\n` : render(request, result));
  return outcomeExitCode[result.outcome];
}

function render(options: TestRequest, result: TestResult): string {
  const { outcome, panic, reset, message, recovered, kept } = result;
  const lines: string[] = [];
  if (outcome === 'passed') {
    const log = (recovered ?? '').trimEnd().split('\n');
    const at = message === '' ? log.length - 1 : log.findIndex((line) => line.includes(message));
    const what = reset === null ? 'the panic' : 'the last thing that it said';
    lines.push(`Recovered: ${log.length} lines of the dead kernel's log; ${what}:`);
    lines.push(...log.slice(at, at + 12).map((line) => `  ${line}`));
  } else {
    lines.push('Last lines on the serial port:', ...result.lastLines.map((line) => `  ${line}`));
  }
  if (kept !== null) {
    lines.push(`Logs: ${kept}`, 'The same machine again:', `  ${result.reproduce}`);
  } else {
    lines.push('The disk image is gone; --keep FOLDER keeps it, the logs and a QEMU command line for it.');
  }
  if (panic !== 'mount') {
    const how = reset === null ? ['--panic', panic ?? ''] : ['--reset', reset.kind, '--at', reset.at];
    const words = ['saveoops', 'test', shellWord(options.dir), ...how];
    if (options.nokaslr === true) words.push('--nokaslr');
    const { loader = testDefaults.loader } = options;
    if (loader !== testDefaults.loader) words.push('--loader', loader);
    else if (options.firmware === 'uefi') words.push('--firmware', 'uefi');
    for (const name of ['cpus', 'memory', 'timeout'] as const) {
      const value = options[name];
      if (value !== undefined && value !== testDefaults[name]) words.push(`--${name}`, String(value));
    }
    const what = reset === null ? 'panic was injected' : 'kernel was ended';
    lines.push(`The ${what} through the debugger port; with it again:`, `  ${words.join(' ')}`);
  }
  lines.push(`${outcome} after ${result.seconds.toFixed(1)} s: ${result.reason}`);
  return lines.join('\n') + '\n';
}
