/** `saveoops doctor`: what is missing on this machine, and the line that installs it. */
import type { ResultIo } from '../host/output.js';
import { doctor, type Diagnosis } from '../library/doctor.js';
import { forJson, forTerminal } from '../safe-text.js';

/** Exit codes. */
export const doctorExitCodes = { ready: 0, missing: 1 } as const;

/** Gives the exit code. Throws nothing. */
export async function runDoctor({ json }: { readonly json: boolean }, io: ResultIo): Promise<number> {
  const diagnosis = await doctor({}, io);
  io.out(json ? `${forJson(diagnosis)}\n` : render(diagnosis));
  return diagnosis.ready ? doctorExitCodes.ready : doctorExitCodes.missing;
}

function render({ tasks, install, installMore }: Diagnosis): string {
  const width = Math.max(...tasks.map(({ task }) => task.length));
  const lines = tasks.map(({ task, missing }) => {
    const what = missing.map(({ name }) => name).join(', ');
    return `${task.padEnd(width)}  ${what === '' ? 'ready' : `missing: ${what}`}`;
  });
  if (install !== null) lines.push(`do: ${install}`);
  if (installMore !== null) lines.push(`for the rest: ${installMore}`);
  return lines.map((line) => `${forTerminal(line)}\n`).join('');
}
