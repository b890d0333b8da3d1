/** `saveoops captures [DIR|IMAGE]`: what has been saved, newest first. */
import { parseCaptureRecord } from '../saved-captures/capture-record.js';
import { findCaptures } from '../saved-captures/find-captures.js';
import type { StoredCapture } from '../saved-captures/stored-capture.js';
import { bytes } from '../report/duration.js';
import { forJson, forTerminal } from '../safe-text.js';
import type { Output } from '../host/output.js';

export interface CapturesOptions {
  /** undefined: the places of this system. */
  readonly where: string | undefined;
  /** A line about the newest, while it is news. */
  readonly news: boolean;
  readonly json: boolean;
}

/** Exit codes. */
export const capturesExitCodes = { some: 0, none: 1 } as const;

/** One capture in a list. */
export interface ListedCapture {
  readonly id: string;
  readonly name: string;
  readonly where: string;
  /** UTC, ISO 8601. */
  readonly time: string;
  readonly release: string;
  /** panic, exception, unknown; null: no whole capture.json. */
  readonly kind: string | null;
  readonly message: string | null;
  readonly incomplete: boolean;
  /** What the capture could not do, in its own words. */
  readonly failures: readonly string[];
  readonly files: readonly { readonly name: string; readonly size: number }[];
  /** Bytes of all files. */
  readonly size: number;
}

/** What `saveoops captures --json` prints. */
export interface CapturesResult {
  readonly version: 1;
  /** Where captures were looked for. */
  readonly places: readonly string[];
  /** Newest first. */
  readonly captures: readonly ListedCapture[];
}

/** capture.json is some KiB. */
const largestRecord = 1 << 20;

/** Gives the exit code. Throws `file`, `wrong-file`, `tool`. */
export async function runCaptures(options: CapturesOptions, io: Pick<Output, 'out'>): Promise<number> {
  const { captures, places } = await findCaptures(options.where);
  // One after the other: each may start a tool.
  const listed: ListedCapture[] = [];
  for (const capture of captures) listed.push(await list(capture));
  const result: CapturesResult = { version: 1, places, captures: listed };
  if (options.news) io.out(news(listed[0], Date.now()));
  else if (options.json) io.out(`${forJson(result)}\n`);
  else io.out(table(listed, places));
  return listed.length > 0 ? capturesExitCodes.some : capturesExitCodes.none;
}

async function list(capture: StoredCapture): Promise<ListedCapture> {
  const part = await capture.read('capture.json', largestRecord).catch(() => undefined);
  const record = part === undefined ? undefined : parseCaptureRecord(Buffer.from(part.bytes).toString());
  const { id, name, where, time, files } = capture;
  return {
    id,
    name,
    where,
    time: record?.time ?? time,
    release: record?.primary.release ?? capture.release,
    kind: record?.kind ?? null,
    message: record?.message ?? null,
    incomplete: capture.incomplete || files.some((file) => file.name.endsWith('.incomplete')),
    failures: record?.failures ?? [],
    files,
    size: files.reduce((sum, file) => sum + file.size, 0),
  };
}

/** Milliseconds. The crash kernel's clock may be in another time zone, so "later than now" is news, too. */
const newsAge = 7 * 24 * 3_600_000;

/** What a person should know who was not there when the machine died; "" when that is long ago. */
function news(newest: ListedCapture | undefined, now: number): string {
  if (newest === undefined || !(now - Date.parse(newest.time) < newsAge)) return '';
  const { id, name, time, release, message, incomplete } = newest;
  const what = message === null ? '' : `: ${message}`;
  const half = incomplete ? ' The capture is incomplete.' : '';
  return `${forTerminal(`saveoops: Linux ${release} died at ${time}${what}.${half} Read: saveoops report ${id === '' ? name : id}`)}\n`;
}

function table(captures: readonly ListedCapture[], places: readonly string[]): string {
  const where = places.map(forTerminal).join(', ');
  if (captures.length === 0)
    return where === '' ? 'no captures: none of the usual places exists\n' : `no captures in ${where}\n`;
  const rows = captures.map((capture) => [
    capture.id,
    capture.time,
    capture.release,
    bytes(capture.size),
    capture.incomplete ? 'incomplete' : '',
    contents(capture),
    capture.message ?? capture.kind ?? '',
  ]);
  const shown = [['ID', 'time (UTC)', 'kernel', 'size', '', 'what', 'message'], ...rows].map((row) =>
    row.map((cell) => forTerminal(cell)),
  );
  const widths = (shown[0] ?? []).map((_, column) =>
    Math.max(...shown.map((row) => (row[column] ?? '').length)),
  );
  const line = (row: readonly string[]): string =>
    row
      .map((cell, column) =>
        column === 3 ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0),
      )
      .join('  ')
      .trimEnd();
  // Below its capture each, as long as it is.
  const failed = (index: number): string =>
    (captures[index - 1]?.failures ?? []).map((failure) => `\n  failed: ${forTerminal(failure)}`).join('');
  return `${shown.map((row, index) => line(row) + failed(index)).join('\n')}\n`;
}

/** log, dump, encrypted dump: the kinds of things that are there. */
function contents({ files }: ListedCapture): string {
  const names = new Set(files.map(({ name }) => name.replace(/\.incomplete$/, '')));
  const kinds: readonly (readonly [string, string])[] = [
    ['dmesg.txt', 'log'],
    ['vmcore', 'dump'],
    ['vmcore.age', 'encrypted dump'],
  ];
  return kinds.flatMap(([name, kind]) => (names.has(name) ? [kind] : [])).join(', ') || 'nothing';
}
