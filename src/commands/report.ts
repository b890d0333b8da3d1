/** `saveoops report CAPTURE`: what died, for a person, from a capture or a log. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import type { Readable } from 'node:stream';
import { parseCaptureRecord } from '../captures/capture-record.js';
import { findReportSource } from '../captures/find-captures.js';
import type { FilePart, StoredCapture } from '../captures/stored-capture.js';
import { writeAtomic } from '../host/files.js';
import { version } from '../host/version.js';
import { decodeLog } from '../report/decode-log.js';
import { renderHtml } from '../report/render-html.js';
import { renderText } from '../report/render-text.js';
import { makeReport } from '../report/report.js';
import type { ReportInput } from '../report/report-input.js';
import { forJson, forTerminal } from '../safe-text.js';
import { readLogStream } from './log-stream.js';

export interface ReportOptions {
  readonly capture: string;
  readonly json: boolean;
  /** File to write. */
  readonly html: string | undefined;
}

/** Exit codes. notUnderstood: whatever is reported may be wrong. */
export const reportExitCodes = { death: 0, noDeath: 1, notUnderstood: 2 } as const;

/** Bytes that are read from the end of a log: more than log_buf_len is on any distribution. */
const largestLog = 16 * 2 ** 20;
const largestRecord = 2 ** 20;

/** Gives the exit code. Throws `file`, `usage`, `wrong-file`, `tool`, `format`. */
export async function runReport(
  options: ReportOptions,
  io: { readonly out: (text: string) => void },
): Promise<number> {
  const made = makeReport(await readReportInput(options.capture));
  if (options.html !== undefined)
    await writeAtomic(options.html, [Buffer.from(renderHtml(made, `saveoops ${version}`))], 0o600);
  if (options.json) io.out(`${forJson(made.report)}\n`);
  else if (options.html !== undefined) io.out(`${forTerminal(options.html)} written\n`);
  else io.out(renderText(made.report));
  if (!made.report.source.understood) return reportExitCodes.notUnderstood;
  return made.report.cause === null ? reportExitCodes.noDeath : reportExitCodes.death;
}

/** @param argument as findReportSource() takes it; "-": a log on standard input */
async function readReportInput(argument: string): Promise<ReportInput> {
  if (argument === '-') return await bareLog('standard input', process.stdin);
  const source = await findReportSource(argument);
  return source.kind === 'capture'
    ? await captureInput(source.capture)
    : await bareLog(source.path, createReadStream(source.path));
}

async function bareLog(where: string, stream: Readable): Promise<ReportInput> {
  return { where, ...(await readLogStream(stream, largestLog, where)), capture: undefined };
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

function decoded({ bytes, cut }: FilePart): { log: string; cut: boolean } {
  return { log: decodeLog(bytes, 'utf-8', cut), cut };
}
