/** What goes into a bundle for a bug report: files made of a report's input. Pure. */
import { forJson } from '../safe-text.js';
import { Redactor, type Redacted } from './redact.js';
import { renderText } from './render-text.js';
import { makeReport, type MadeReport } from './report.js';
import type { ReportInput } from './report-input.js';

export interface BundleFile {
  readonly name: string;
  /** For a person: what it is. */
  readonly what: string;
  readonly text: string;
}

export interface Bundle {
  readonly files: readonly BundleFile[];
  /** How many values were taken out; undefined: none was to be. */
  readonly redacted: Readonly<Record<Redacted, number>> | undefined;
}

export interface BundleOptions {
  /** capture.json as it is; undefined: there is none. */
  readonly captureJson: string | undefined;
  /** Of this program and of what it runs on. */
  readonly versions: Readonly<Record<string, string>>;
  /** undefined: nothing is taken out. Else names of this host, which may be in the log. */
  readonly redactHosts: readonly string[] | undefined;
}

/** Lines of the log that tell of the hardware. */
const hardwareLine =
  /^(?:DMI: |Hardware name: |smpboot: (?:CPU0|Allowing|Total)|Memory: |tsc: Detected|pci [0-9a-f:.]{7,16}: \[[0-9a-f]{4}:|scsi \d|ata[\d.]{1,8}: |usb [\d.-]{1,16}: New USB device|nvme |microcode: |x86\/cpu: )/;
const mostHardwareLines = 2000;

export function makeBundle(input: ReportInput, options: BundleOptions): Bundle {
  const { captureJson, redactHosts } = options;
  if (redactHosts === undefined)
    return { files: filesOf(makeReport(input), input, captureJson, options), redacted: undefined };
  const made = makeReport(input);
  // What stands before the kernel's lines names hosts, and lines of other programs tell of their users.
  const log =
    input.log === undefined
      ? undefined
      : made.report.source.understood
        ? made.lines
            .filter(({ ofKernel }) => ofKernel)
            .map(({ time, text }) => `${time === undefined ? '' : stamp(time)}${text}\n`)
            .join('')
        : input.log;
  const { capture } = input;
  const texts = [log ?? '', capture?.captureLog ?? '', decodedStrings(captureJson)];
  const redactor = new Redactor(texts, redactHosts);
  const redact = <Text extends string | undefined>(text: Text): Text =>
    (text === undefined ? text : redactor.redact(text)) as Text;
  const clean: ReportInput = {
    ...input,
    where: 'dmesg.txt',
    log: redact(log),
    capture:
      capture === undefined
        ? undefined
        : {
            ...mapStrings(
              { ...capture, copyCommand: undefined, logSha256: undefined, captureLog: undefined },
              (text) => redactor.redact(text),
            ),
            captureLog: redact(capture.captureLog),
          },
  };
  const json =
    captureJson === undefined ? undefined : redactJson(captureJson, (text) => redactor.redact(text));
  const files = filesOf(makeReport(clean), clean, json, options);
  return { files, redacted: redactor.counts };
}

function filesOf(
  { report, lines }: MadeReport,
  { log, capture }: ReportInput,
  captureJson: string | undefined,
  { versions }: BundleOptions,
): BundleFile[] {
  const hardware = lines
    .filter(({ text, ofKernel }) => ofKernel && hardwareLine.test(text))
    .slice(0, mostHardwareLines)
    .map(({ text }) => `${text}\n`)
    .join('');
  const told = {
    ...versions,
    kernel: report.kernel.banner,
    crashKernel: capture?.record?.crash.release ?? null,
  };
  const optional = (name: string, what: string, text: string | undefined): BundleFile[] =>
    text === undefined || text === '' ? [] : [{ name, what, text }];
  return [
    ...optional('dmesg.txt', 'the log of the kernel that died', log),
    { name: 'report.txt', what: 'the report, for a person', text: renderText(report) },
    { name: 'report.json', what: 'the same, for a program', text: `${forJson(report)}\n` },
    ...optional('capture.json', 'what the capture wrote of itself', captureJson),
    ...optional('capture.log', 'what the capture did', capture?.captureLog),
    { name: 'versions.json', what: 'versions of Saveoops and of the kernels', text: `${forJson(told)}\n` },
    ...optional('hardware.txt', 'what the log tells of the hardware', hardware),
  ];
}

function stamp(time: number): string {
  return `[${time.toFixed(6).padStart(12)}] `;
}

/** The texts in a JSON file as they are without escapes. */
function decodedStrings(json: string | undefined): string {
  const texts: string[] = [];
  if (json !== undefined) redactJson(json, (text) => (texts.push(text), text));
  return texts.join('\n');
}

/** What is no JSON is treated as text. */
function redactJson(json: string, redact: (text: string) => string): string {
  try {
    return `${JSON.stringify(mapStrings(JSON.parse(json) as unknown, redact), null, 2)}\n`;
  } catch {
    return redact(json);
  }
}

function mapStrings<Value>(value: Value, map: (text: string) => string): Value {
  const mapped = (each: unknown): unknown =>
    typeof each === 'string'
      ? map(each)
      : Array.isArray(each)
        ? each.map(mapped)
        : typeof each === 'object' && each !== null
          ? Object.fromEntries(Object.entries(each).map(([key, inner]) => [key, mapped(inner)]))
          : each;
  return mapped(value) as Value;
}
