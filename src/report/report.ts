/**
 * What `saveoops report` tells, as data: made of a log, and of what a capture knows beside it. Its JSON is documented in
 * docs/report.md and stable: members are added, never changed, while `version` is the same.
 */
import type { CaptureRecord, HeldRecord } from '../saved-captures/capture-record.js';
import { renderCodePlace, type CodePlace } from './code-place.js';
import { findDeaths, hasDeath, type Death } from './find-deaths.js';
import { architectureOf } from './architecture.js';
import { adviceFor, deathKinds, type DeathKind } from './kinds-of-death.js';
import { readLog, type LogLine, type ReadLog } from './log-lines.js';
import { elfcorehdrOf, readMemoryMap, type MemoryMap } from './memory-map.js';
import { nextSteps, type NextStep } from './next-steps.js';
import type { CaptureInput, ReportInput } from './report-input.js';
import { explainTaint, type Taint } from './taint.js';

export interface ReportedPlace {
  readonly function: string | null;
  readonly offset: number | null;
  readonly size: number | null;
  readonly module: string | null;
  readonly address: string | null;
  /** As the kernel writes it. */
  readonly text: string;
}

export interface ReportedEntry extends ReportedPlace {
  readonly sure: boolean;
  readonly stack: string;
  readonly interrupted: boolean;
}

export interface ReportedDeath {
  readonly kind: DeathKind;
  /** One sentence for a person. */
  readonly meaning: string;
  /** What to try; null: nothing beside `next`. */
  readonly advice: string | null;
  readonly headline: string;
  readonly oops: string | null;
  readonly message: string | null;
  readonly line: number;
  /** Seconds. */
  readonly time: number | null;
  readonly cpu: number | null;
  readonly pid: number | null;
  readonly comm: string | null;
  readonly taint: { readonly flags: string; readonly explained: readonly Taint[] } | null;
  readonly at: ReportedPlace | null;
  readonly address: string | null;
  readonly registers: Readonly<Record<string, string>>;
  readonly code: string | null;
  readonly trace: readonly ReportedEntry[];
  readonly modules: readonly string[];
  readonly details: readonly string[];
}

export interface ReportedLine {
  readonly line: number;
  readonly time: number | null;
  readonly text: string;
}

export interface Report {
  readonly version: 1;
  readonly source: {
    readonly where: string;
    readonly kind: ReadLog['kind'] | 'none';
    /** Lines of the log that was taken. */
    readonly lines: number;
    readonly cut: boolean;
    /** false: what stands before the lines could not be told from them, so the rest of the report may be wrong. */
    readonly understood: boolean;
  };
  /** Sentences for a person about how far the report can be trusted. */
  readonly remarks: readonly string[];
  readonly kernel: {
    /** As far as registers and banner tell: x86-64, i386, arm64, arm, powerpc, riscv, s390, mips. */
    readonly architecture: string | null;
    readonly release: string | null;
    readonly banner: string | null;
    readonly commandLine: string | null;
    readonly hardware: string | null;
  };
  /** The kernel hung or was reset, and the next boot captured it; null: it ended by itself. */
  readonly reset: {
    /** The last line of its log. */
    readonly last: ReportedLine | null;
    /** Its memory from 0 on that the boot loader had used by then, KiB. */
    readonly lostKiB: number | null;
    /** Of what can be checked of its memory, pages: how many, and how many no longer hold. */
    readonly image: HeldRecord | null;
    readonly tables: HeldRecord | null;
    /** What hardware says has reset the machine; null: nothing of it says anything. */
    readonly by: string | null;
  } | null;
  /** Seconds at the last panic, or at the end of the log. */
  readonly uptime: number | null;
  readonly cause: ReportedDeath | null;
  /** The panic in which it ended; null when there is none, or when it is the cause. */
  readonly end: ReportedDeath | null;
  /** Everything else that went wrong. */
  readonly others: readonly (ReportedLine & { readonly kind: DeathKind })[];
  /** The last lines before the cause. */
  readonly before: readonly ReportedLine[];
  readonly memory: {
    readonly ranges: readonly { readonly start: string; readonly end: string; readonly type: string }[];
    readonly crashRegion: {
      readonly start: string;
      readonly end: string;
      readonly how: 'elfcorehdr' | 'guess';
    } | null;
  };
  readonly capture: {
    readonly id: string;
    readonly name: string;
    readonly time: string;
    readonly incomplete: boolean;
    readonly files: readonly { readonly name: string; readonly size: number }[];
    /** null: the capture has no whole capture.json. */
    readonly record: CaptureRecord | null;
    /** What was wanted and is not there, or not as it was written. */
    readonly failures: readonly string[];
    /** What the capture did, by its capture.log. */
    readonly notes: readonly string[];
  } | null;
  readonly next: readonly NextStep[];
}

export interface MadeReport {
  readonly report: Report;
  readonly lines: readonly LogLine[];
  readonly deaths: readonly Death[];
  readonly memory: MemoryMap;
}

const linesBefore = 30;
const mostNotes = 100;
const longestLine = 4096;

export function makeReport(input: ReportInput): MadeReport {
  const { capture } = input;
  const record = capture?.record;
  // An empty log tells no more than none.
  const log = (input.log ?? '') === '' ? undefined : readLog(input.log ?? '', hasDeath);
  const lines = log?.lines ?? [];
  const { all, cause, end } = findDeaths(lines);
  const kernel = kernelOf(lines, all, input);
  const understood = log === undefined || (log.understood && (cause !== undefined || !namesDeath(lines)));
  const memory = readMemoryMap(lines, elfcorehdrOf(record?.crash.commandLine ?? ''));
  const first = cause === undefined ? lines.length : lines.indexOf(cause.headline);
  const failures = [
    ...(record?.failures ?? []),
    ...(capture === undefined ? [] : missing(capture)),
    ...(capture === undefined ? [] : damaged(capture)),
  ];
  const report: Report = {
    version: 1,
    source: {
      where: input.where,
      kind: log?.kind ?? 'none',
      lines: lines.length,
      cut: input.cut,
      understood,
    },
    remarks: remarksOn(kernel, understood),
    kernel,
    reset: resetOf(lines, record),
    uptime: record?.kind === 'reset' ? uptimeOf(lines, undefined) : uptimeOf(lines, end ?? cause),
    cause: cause === undefined ? null : reportedDeath(cause),
    end: end === undefined || end === cause ? null : reportedDeath(end),
    others: all
      .filter((death) => death !== cause && death !== end)
      .map((death) => ({ kind: death.kind, ...reportedLine(death.headline) })),
    before: lines.slice(Math.max(0, first - linesBefore), first).map(reportedLine),
    memory: {
      ranges: memory.ranges.map((range) => ({ ...bounds(range), type: range.type })),
      crashRegion:
        memory.crashRegion === undefined
          ? null
          : { ...bounds(memory.crashRegion.range), how: memory.crashRegion.how },
    },
    capture:
      capture === undefined
        ? null
        : {
            id: capture.id,
            name: capture.name,
            time: capture.time,
            incomplete: capture.incomplete,
            files: capture.files,
            record: record ?? null,
            failures,
            notes: notesOf(capture.captureLog ?? ''),
          },
    next: nextSteps({ kernel, at: cause?.at ?? callerOf(cause), where: input.where, capture }),
  };
  return { report, lines, deaths: all, memory };
}

/** Of a panic: the first function in its trace that is not there to panic. */
function callerOf(death: Death | undefined): CodePlace | undefined {
  return death?.trace.find(
    (entry) =>
      entry.sure && entry.function !== undefined && !/^(?:dump_stack|panic|vpanic)/.test(entry.function),
  );
}

function kernelOf(lines: readonly LogLine[], deaths: readonly Death[], input: ReportInput): Report['kernel'] {
  const record = input.capture?.record;
  const after = (begin: string): string | undefined =>
    lines.find(({ text }) => text.startsWith(begin))?.text.slice(begin.length);
  const version = after('Linux version ');
  const banner = version === undefined ? record?.primary.banner : `Linux version ${version}`;
  return {
    architecture: architectureOf(lines) ?? null,
    banner: cut(banner) ?? null,
    release: version?.split(' ', 1)[0] ?? record?.primary.release ?? input.release ?? null,
    commandLine:
      cut(after('Kernel command line: ') ?? after('Command line: ') ?? record?.primary.commandLine) ?? null,
    hardware: cut(deaths.find(({ hardware }) => hardware !== undefined)?.hardware ?? after('DMI: ')) ?? null,
  };
}

/** Words that only a kernel that is in trouble prints: where no death is found although they are there, one was missed. */
function namesDeath(lines: readonly LogLine[]): boolean {
  return lines.some(
    ({ text }) =>
      text.length > 5 && /Kernel panic - not syncing|Oops: |Call Trace:/.test(text.slice(0, longestLine)),
  );
}

/** Kernels that the formats here were tested on begin with this one. */
const [oldestMajor, oldestMinor] = [5, 10];

function remarksOn({ architecture, release }: Report['kernel'], understood: boolean): readonly string[] {
  const [, major = '', minor = ''] = /^(\d{1,4})\.(\d{1,4})/.exec(release ?? '') ?? [];
  const old =
    major !== '' &&
    (Number(major) < oldestMajor || (Number(major) === oldestMajor && Number(minor) < oldestMinor));
  return [
    ...(understood
      ? []
      : [
          'The format of this text was not understood: what stands before its lines could not be told from what the kernel printed, or it is no log of a kernel. What follows may be wrong. Give the log as the kernel printed it: dmesg, journalctl -k -o short-monotonic, or a saved console',
        ]),
    ...(architecture === null || architecture === 'x86-64'
      ? []
      : [
          `The kernel is one for ${architecture}: this report knows the logs of x86-64, and reads of others what is alike`,
        ]),
    ...(old
      ? [
          `The kernel is older than ${oldestMajor}.${oldestMinor}, the oldest whose logs this report was tested on: compare it with the log`,
        ]
      : []),
  ];
}

/** A panic in the log is told as such, even if the capture came after a reset. */
function resetOf(lines: readonly LogLine[], record: CaptureRecord | undefined): Report['reset'] {
  if (record?.kind !== 'reset') return null;
  const last = lines.findLast(({ text }) => text.trim() !== '');
  return {
    last: last === undefined ? null : reportedLine(last),
    lostKiB: record.reset?.lostKiB ?? null,
    image: record.reset?.image ?? null,
    tables: record.reset?.tables ?? null,
    by: record.reset?.by ?? null,
  };
}

function uptimeOf(lines: readonly LogLine[], death: Death | undefined): number | null {
  return death?.headline.time ?? lines.findLast(({ time }) => time !== undefined)?.time ?? null;
}

/** capture.log begins with what the capture did; the crash kernel's own log follows behind a line of dashes. */
function notesOf(log: string): readonly string[] {
  const lines = log.split('\n');
  const end = lines.findIndex((line) => line.startsWith('---- '));
  return lines
    .slice(0, end < 0 ? lines.length : end)
    .filter((line) => line !== '')
    .slice(0, mostNotes)
    .map((line) => line.slice(0, longestLine));
}

function missing({ files, record, incomplete }: CaptureInput): readonly string[] {
  const names = new Set(files.map(({ name }) => name));
  return [
    ...(incomplete ? ['the capture did not come to its end'] : []),
    ...(names.has('dmesg.txt') ? [] : ['no whole log (dmesg.txt)']),
    ...files.filter(({ size }) => size === 0).map(({ name }) => `${name} is empty`),
    ...(record === undefined ? ['no whole capture.json'] : []),
    ...files.filter(({ name }) => name.endsWith('.incomplete')).map(({ name }) => `${name} is not whole`),
    ...(record?.files ?? [])
      .filter(({ name }) => !names.has(name))
      .map(({ name }) => `${name} was saved, and is not there any more`),
  ];
}

function damaged({ files, record, logSha256 }: CaptureInput): readonly string[] {
  return (record?.files ?? []).flatMap(({ name, size, sha256 }) => {
    const file = files.find((each) => each.name === name);
    if (file === undefined) return [];
    if (size !== null && file.size !== size)
      return [`${name} has ${file.size} bytes, and was saved with ${size}`];
    const differs =
      name === 'dmesg.txt' && sha256 !== null && logSha256 !== undefined && sha256 !== logSha256;
    return differs ? [`${name} is not what was saved: its SHA-256 differs`] : [];
  });
}

function reportedDeath(death: Death): ReportedDeath {
  const { kind, headline, taint, at } = death;
  return {
    kind,
    meaning: deathKinds[kind].meaning,
    advice: adviceFor(kind) ?? null,
    headline: cut(headline.text.trim()) ?? '',
    oops: cut(death.oops) ?? null,
    message: cut(death.message) ?? null,
    line: headline.number,
    time: headline.time ?? null,
    cpu: death.cpu ?? null,
    pid: death.pid ?? null,
    comm: death.comm ?? null,
    taint: taint === undefined ? null : { flags: taint, explained: explainTaint(taint) },
    at: at === undefined ? null : reportedPlace(at),
    address: death.address ?? null,
    registers: death.registers,
    code: cut(death.code) ?? null,
    trace: death.trace.map((entry) => ({
      ...reportedPlace(entry),
      sure: entry.sure,
      stack: entry.stack,
      interrupted: entry.interrupted,
    })),
    modules: death.modules,
    details: death.details.map((detail) => detail.slice(0, longestLine)),
  };
}

function reportedPlace(place: CodePlace): ReportedPlace {
  return {
    function: place.function ?? null,
    offset: place.offset ?? null,
    size: place.size ?? null,
    module: place.module ?? null,
    address: place.address ?? null,
    text: renderCodePlace(place),
  };
}

function reportedLine({ number, time, text }: LogLine): ReportedLine {
  return { line: number, time: time ?? null, text: text.slice(0, longestLine) };
}

function bounds({ start, end }: { readonly start: bigint; readonly end: bigint }): {
  start: string;
  end: string;
} {
  return { start: `0x${start.toString(16)}`, end: `0x${end.toString(16)}` };
}

function cut(text: string | null | undefined): string | undefined {
  return text?.slice(0, longestLine);
}
