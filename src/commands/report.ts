/** `saveoops report CAPTURE`: what died, for a person, from a capture or a log. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import type { Readable } from 'node:stream';
import { parseCaptureRecord } from '../saved-captures/capture-record.js';
import { findReportSource } from '../saved-captures/find-captures.js';
import type { FilePart, StoredCapture } from '../saved-captures/stored-capture.js';
import { SaveoopsError } from '../errors.js';
import { writeAtomic } from '../host/files.js';
import type { Output } from '../host/output.js';
import { version } from '../host/version.js';
import { isPicture, readPhoto } from '../panic-code/read-photo.js';
import { decodeLog } from '../report/decode-log.js';
import { renderHtml } from '../report/render-html.js';
import { renderText } from '../report/render-text.js';
import { makeReport } from '../report/report.js';
import type { ReportInput } from '../report/report-input.js';
import { forJson, forTerminal } from '../safe-text.js';
import { readLogStream } from './log-stream.js';
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

/** Bytes that are read from the end of a log: more than log_buf_len is on any distribution. */
const largestLog = 16 * 2 ** 20;
const largestRecord = 2 ** 20;

/** Gives the exit code. Throws `file`, `usage`, `wrong-file`, `tool`, `format`. */
export async function runReport(
  options: ReportOptions,
  io: Pick<Output, 'out' | 'progress'>,
): Promise<number> {
  if (options.redact && options.bundle === undefined) throw redactAlone();
  const { input, captureJson } = await readReportInput(options.capture);
  const made = makeReport(input);
  if (options.html !== undefined)
    await writeAtomic(options.html, [Buffer.from(renderHtml(made, `saveoops ${version}`))], 0o600);
  if (options.json) io.out(`${forJson(made.report)}\n`);
  else if (options.html !== undefined) io.out(`${forTerminal(options.html)} written\n`);
  else if (options.bundle === undefined) io.out(renderText(made.report));
  if (options.bundle !== undefined) {
    const { bundle: file, redact } = options;
    // Standard output is a program's then.
    const shown = options.json ? { out: (text: string) => io.progress(text) } : io;
    await writeBundle(input, { file, redact, captureJson }, shown);
  }
  if (!made.report.source.understood) return reportExitCodes.notUnderstood;
  const { cause, reset } = made.report;
  return cause === null && reset === null ? reportExitCodes.noDeath : reportExitCodes.death;
}

function redactAlone(): SaveoopsError {
  return new SaveoopsError('usage', '--redact is for a bundle', {
    where: 'saveoops report',
    found: '--redact without --bundle',
    wanted: '--bundle FILE',
  });
}

interface Read {
  readonly input: ReportInput;
  /** capture.json as it is; undefined: there is none. */
  readonly captureJson: string | undefined;
}

/** @param argument as findReportSource() takes it; "-": a log on standard input */
async function readReportInput(argument: string): Promise<Read> {
  if (argument === '-') return await bareLog('standard input', process.stdin);
  const source = await findReportSource(argument);
  return source.kind === 'capture' ? await captureInput(source.capture) : await fileInput(source.path);
}

/** A log, or a photograph of the last screen. Throws what readPhoto() throws, too. */
async function fileInput(path: string): Promise<Read> {
  if (!(await isPicture(path))) return await bareLog(path, createReadStream(path));
  const input = { where: path, ...(await readPhoto(path)), cut: true, capture: undefined };
  return { input, captureJson: undefined };
}

async function bareLog(where: string, stream: Readable): Promise<Read> {
  const read = await readLogStream(stream, largestLog, where);
  return { input: { where, ...read, capture: undefined }, captureJson: undefined };
}

async function captureInput(capture: StoredCapture): Promise<Read> {
  const log =
    (await capture.read('dmesg.txt', largestLog)) ?? (await capture.read('dmesg.txt.incomplete', largestLog));
  const json = await capture.read('capture.json', largestRecord);
  const captureLog = await capture.read('capture.log', largestRecord);
  const { where, name, id, time, incomplete, files, copyCommand } = capture;
  const captureJson = json === undefined ? undefined : Buffer.from(json.bytes).toString();
  const record = captureJson === undefined ? undefined : parseCaptureRecord(captureJson);
  const input: ReportInput = {
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
  return { input, captureJson };
}

function decoded({ bytes, cut }: FilePart): { log: string; cut: boolean } {
  return { log: decodeLog(bytes, 'utf-8', cut), cut };
}
