/** From a capture or a log, wherever it lies, to what a report is made of. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import type { Readable } from 'node:stream';
import { asTask, type RunOptions } from '../host/task.js';
import { isPicture, readPhoto } from '../panic-code/read-photo.js';
import { decodeLog } from '../report/decode-log.js';
import { renderHtml } from '../report/render-html.js';
import { renderText } from '../report/render-text.js';
import { makeReport, type Report } from '../report/report.js';
import type { ReportInput } from '../report/report-input.js';
import { generator } from '../host/version.js';
import { parseCaptureRecord } from '../saved-captures/capture-record.js';
import { findReportSource } from '../saved-captures/find-captures.js';
import type { FilePart, StoredCapture } from '../saved-captures/stored-capture.js';
import { readLogStream } from './log-stream.js';

/** Bytes that are read from the end of a log: more than log_buf_len is on any distribution. */
const largestLog = 16 * 2 ** 20;
const largestRecord = 2 ** 20;

/** A log, and what is known of the death beside it. */
export interface Capture extends ReportInput {
  /** capture.json as it is; undefined: there is none. */
  readonly captureJson: string | undefined;
}

/**
 * Reads a capture, or a log of any other origin.
 *
 * @param where a capture's directory; a log, of dmesg, journalctl, netconsole or a serial console, compressed by gzip or not; a photograph of
 * the last screen; `IMAGE:ID` for a capture inside a disk image; the beginning of an ID, or `last`, of this system's captures; or
 * a stream with a log
 * @throws {@link SaveoopsError} of kind `file`, `usage`, `wrong-file`, `tool`, `format`
 */
export async function readCapture(where: string | Readable, run: RunOptions = {}): Promise<Capture> {
  return await asTask(run, async () => {
    if (typeof where !== 'string') return await bareLog('standard input', where);
    const source = await findReportSource(where);
    return source.kind === 'capture' ? await captureInput(source.capture) : await fileInput(source.path);
  });
}

/** Tells what died, and of what. The same capture gives the same report. */
export function report(capture: Capture): Report {
  return makeReport(capture).report;
}

/** The report as text for a terminal. */
export function reportText(told: Report): string {
  return renderText(told);
}

/** The report as an HTML page with pictures, which loads nothing from elsewhere. */
export function reportHtml(capture: Capture): string {
  return renderHtml(makeReport(capture), generator);
}

/** A log, or a photograph of the last screen. Throws what readPhoto() throws, too. */
async function fileInput(path: string): Promise<Capture> {
  if (!(await isPicture(path))) return await bareLog(path, createReadStream(path));
  return { where: path, ...(await readPhoto(path)), cut: true, capture: undefined, captureJson: undefined };
}

async function bareLog(where: string, stream: Readable): Promise<Capture> {
  const read = await readLogStream(stream, largestLog, where);
  return { where, ...read, capture: undefined, captureJson: undefined };
}

async function captureInput(capture: StoredCapture): Promise<Capture> {
  const log =
    (await capture.read('dmesg.txt', largestLog)) ?? (await capture.read('dmesg.txt.incomplete', largestLog));
  const json = await capture.read('capture.json', largestRecord);
  const captureLog = await capture.read('capture.log', largestRecord);
  const { where, name, id, time, incomplete, files, copyCommand } = capture;
  const captureJson = json === undefined ? undefined : Buffer.from(json.bytes).toString();
  const record = captureJson === undefined ? undefined : parseCaptureRecord(captureJson);
  return {
    where,
    captureJson,
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

function decoded({ bytes, cut }: FilePart): { log: string; cut: boolean } {
  return { log: decodeLog(bytes, 'utf-8', cut), cut };
}
