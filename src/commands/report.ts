/** `saveoops report CAPTURE`: what died, for a person, from a capture or a log. */
import { SaveoopsError } from '../errors.js';
import { writeAtomic } from '../host/files.js';
import type { Output } from '../host/output.js';
import type { RunOptions } from '../host/task.js';
import { readCapture, report, reportHtml, reportText } from '../library/read-capture.js';
import { forJson, forTerminal } from '../safe-text.js';
import { writeBundle } from './report-bundle.js';

export interface ReportOptions {
  readonly capture: string;
  readonly json: boolean;
  /** File to write. */
  readonly html: string | undefined;
  /** tar archive for a bug report; undefined: none. */
  readonly bundle: string | undefined;
  /** Take out of the bundle what a stranger need not know. */
  readonly redact: boolean;
}

/** Exit codes. notUnderstood: whatever is reported may be wrong. */
export const reportExitCodes = { death: 0, noDeath: 1, notUnderstood: 2 } as const;

/** Gives the exit code. Throws `file`, `usage`, `wrong-file`, `tool`, `format`. */
export async function runReport(
  options: ReportOptions,
  io: Pick<Output, 'out' | 'progress'> & RunOptions,
): Promise<number> {
  if (options.redact && options.bundle === undefined) throw redactAlone();
  // "-": a log on standard input.
  const capture = await readCapture(options.capture === '-' ? process.stdin : options.capture, io);
  const made = report(capture);
  if (options.html !== undefined) await writeAtomic(options.html, [Buffer.from(reportHtml(capture))], 0o600);
  if (options.json) io.out(`${forJson(made)}\n`);
  else if (options.html !== undefined) io.out(`${forTerminal(options.html)} written\n`);
  else if (options.bundle === undefined) io.out(reportText(made));
  if (options.bundle !== undefined) {
    const { bundle: file, redact } = options;
    // Standard output is a program's then.
    const shown = options.json ? { out: (text: string) => io.progress(text) } : io;
    await writeBundle(capture, { file, redact }, shown);
  }
  if (!made.source.understood) return reportExitCodes.notUnderstood;
  const { cause, reset } = made;
  return cause === null && reset === null ? reportExitCodes.noDeath : reportExitCodes.death;
}

function redactAlone(): SaveoopsError {
  return new SaveoopsError('usage', '--redact is for a bundle', {
    where: 'saveoops report',
    found: '--redact without --bundle',
    wanted: '--bundle FILE',
  });
}
