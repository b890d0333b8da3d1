/** `saveoops report CAPTURE`: what died, for a person, from a capture or a log. */
import { createHash } from 'node:crypto';
import { parseCaptureRecord } from '../saved-captures/capture-record.js';
import { findReportSource } from '../saved-captures/find-captures.js';
import { readEnd } from '../saved-captures/folder-store.js';
import type { FilePart, StoredCapture } from '../saved-captures/stored-capture.js';
import { fileError, writeAtomic } from '../host/files.js';
import { version } from '../host/version.js';
import { isPicture, readPhoto } from '../panic-code/read-photo.js';
import { renderHtml } from '../report/render-html.js';
import { renderText } from '../report/render-text.js';
import { makeReport, type ReportInput } from '../report/report.js';
import { forJson, forTerminal } from '../safe-text.js';

export interface ReportOptions {
  readonly capture: string;
  readonly json: boolean;
  /** File to write. */
  readonly html: string | undefined;
}

/** Exit codes. */
export const reportExitCodes = { death: 0, noDeath: 1 } as const;

/** Bytes that are read from the end of a log: more than log_buf_len is on any distribution. */
const largestLog = 16 * 2 ** 20;
const largestRecord = 2 ** 20;

/** Gives the exit code. Throws `file`, `usage`, `wrong-file`, `tool`. */
export async function runReport(
  options: ReportOptions,
  io: { readonly out: (text: string) => void },
): Promise<number> {
  const source = await findReportSource(options.capture);
  const input = source.kind === 'log' ? await logInput(source.path) : await captureInput(source.capture);
  const made = makeReport(input);
  if (options.html !== undefined)
    await writeAtomic(options.html, [Buffer.from(renderHtml(made, `saveoops ${version}`))], 0o600);
  if (options.json) io.out(`${forJson(made.report)}\n`);
  else if (options.html !== undefined) io.out(`${forTerminal(options.html)} written\n`);
  else io.out(renderText(made.report));
  return made.report.cause === null ? reportExitCodes.noDeath : reportExitCodes.death;
}

/** Throws what readPhoto() throws, too. */
async function logInput(path: string): Promise<ReportInput> {
  const part = await readEnd(path, largestLog);
  if (part === undefined) throw fileError(path, 'a log', new Error('no such file'));
  if (!part.cut && isPicture(part.bytes)) {
    return { where: path, ...(await readPhoto(path)), cut: true, capture: undefined };
  }
  return { where: path, ...decoded(part), capture: undefined };
}

async function captureInput(capture: StoredCapture): Promise<ReportInput> {
  const log =
    (await capture.read('dmesg.txt', largestLog)) ?? (await capture.read('dmesg.txt.incomplete', largestLog));
  const json = await capture.read('capture.json', largestRecord);
  const captureLog = await capture.read('capture.log', largestRecord);
  const { where, name, id, time, incomplete, files, copyCommand } = capture;
  const record = json === undefined ? undefined : parseCaptureRecord(Buffer.from(json.bytes).toString());
  return {
    where,
    ...(log === undefined ? { log: undefined, cut: false } : decoded(log)),
    capture: {
      name,
      id,
      time: record?.time ?? time,
      incomplete,
      files,
      record,
      captureLog: captureLog === undefined ? undefined : decoded(captureLog).log,
      logSha256:
        log === undefined || log.cut ? undefined : createHash('sha256').update(log.bytes).digest('hex'),
      copyCommand,
    },
  };
}

/** Bytes that are no UTF-8 become U+FFFD. */
function decoded({ bytes, cut }: FilePart): { log: string; cut: boolean } {
  const text = Buffer.from(bytes).toString();
  // The first line of a cut log is half a line.
  return { log: cut ? text.slice(text.indexOf('\n') + 1) : text, cut };
}
