/** A report for a terminal. Every text that is not ours goes through forTerminal(). */
import { bytes, duration } from './duration.js';
import type { HeldRecord } from '../saved-captures/capture-record.js';
import type { Report, ReportedDeath, ReportedEntry, ReportedLine } from './report.js';
import { forTerminal } from '../safe-text.js';

export function renderText(report: Report): string {
  const { cause, end, kernel, source } = report;
  return [
    headline(report),
    ...(source.cut ? ['(The log is longer than what is read of it: its beginning is left out.)'] : []),
    ...report.remarks.map((remark) => `${forTerminal(remark)}.`),
    '',
    ...reset(report),
    ...(cause === null ? [] : death(cause)),
    ...facts([
      ['kernel', kernel.banner],
      ['command line', kernel.commandLine],
      ['hardware', kernel.hardware],
    ]),
    ...(end === null ? [] : ['', `In the end${at(end.time)}:`, ...death(end)]),
    ...(report.others.length === 0
      ? []
      : ['', 'Also in this log:', ...report.others.map((line) => `  ${logLine(line)}`)]),
    ...trace('Call trace', cause?.trace ?? [], cause),
    ...(end === null || end.trace.length === 0 ? [] : trace('Call trace of the end', end.trace, end)),
    ...before(report),
    ...saved(report),
    ...(report.next.length === 0 ? [] : ['', 'What to do next']),
    ...report.next.flatMap(({ why, command }) => [
      `  ${forTerminal(why)}${command === null ? '.' : ':'}`,
      ...(command === null ? [] : [`    ${forTerminal(command)}`]),
    ]),
    '',
  ].join('\n');
}

export function headline({ kernel, cause, uptime, source, reset }: Report): string {
  const who = `Linux ${forTerminal(kernel.release ?? 'of an unknown version')}`;
  if (reset !== null && reset.last === null) return `${who} hung or was reset, and has left no log.`;
  if (source.kind === 'none') return `${who}: there is no log, so nothing is known of what happened.`;
  if (reset !== null)
    return `${who} hung or was reset${uptime === null ? '' : ` ${duration(uptime)} after its start`}.`;
  if (cause === null && !source.understood) return `${who}: this text was not understood.`;
  if (cause === null) return `${who}: the log shows no death.`;
  return `${who} died${uptime === null ? '' : ` ${duration(uptime)} after its start`}.`;
}

/** What could be checked says how much the rest is worth. */
function lostWords(what: string, held: HeldRecord | null): string[] {
  const { checked = null, lost = null } = held ?? {};
  if (checked === null || lost === null || checked === 0) return [];
  return lost === 0
    ? [`${checked} ${what} could be checked: all hold.`]
    : [`${lost} of ${checked} ${what} that could be checked no longer hold: other memory is lost, too.`];
}

/** Sentences, for text and HTML alike. */
export function resetWords({ reset, cause }: Report): string[] {
  if (reset === null) return [];
  return [
    reset.by === null
      ? 'It did not panic: it hung until somebody or a watchdog reset the machine, or the machine reset itself (a triple fault). The next boot found what it had left in memory.'
      : `It did not panic: it hung, until ${reset.by} reset the machine. The next boot found what it had left in memory.`,
    ...(reset.last === null ? [] : ['What it was doing then is mostly what comes after its last message.']),
    ...(reset.lostKiB === null
      ? []
      : [
          `Firmware and boot loader had used the first ${reset.lostKiB} KiB of its memory by then: a dump lacks them, and registers.`,
        ]),
    ...lostWords('pages of its image', reset.image),
    ...lostWords('page tables', reset.tables),
    ...(cause === null ? [] : ['Earlier it had said what follows; it need not have to do with the end.']),
  ];
}

function reset(report: Report): string[] {
  const last = report.reset?.last ?? null;
  return [
    ...(last === null ? [] : ['  The last thing that it said:', `  ${logLine(last)}`, '']),
    ...resetWords(report).map((line) => `  ${line}`),
    ...(report.reset === null ? [] : ['']),
  ];
}

function death(death: ReportedDeath): string[] {
  const said = [
    death.headline,
    ...(death.oops === null || death.oops === death.headline ? [] : [death.oops]),
  ];
  const known = facts([
    ['where', death.at?.text ?? null],
    ['module', moduleOf(death.at)],
    ['address', death.address],
    ['CPU', death.cpu === null ? null : String(death.cpu)],
    ['process', death.comm === null ? null : `${death.comm}, PID ${death.pid ?? '?'}`],
    ...death.details.map((detail) => ['', detail] as const),
    ...taint(death),
  ]);
  return [
    ...said.map((line) => `  ${forTerminal(line)}`),
    '',
    `  ${death.meaning}`,
    ...(death.advice === null ? [] : [`  What to try: ${death.advice}`]),
    ...(known.length === 0 ? [] : ['', ...known]),
  ];
}

export function moduleOf(at: ReportedDeath['at']): string | null {
  if (at === null || at.function === null) return null;
  return at.module ?? 'none: in the kernel itself';
}

function taint({ taint }: ReportedDeath): (readonly [string, string])[] {
  if (taint === null) return [];
  if (taint.explained.length === 0) return [['taint', 'none']];
  return taint.explained.map(
    ({ letter, meaning }, index) => [index === 0 ? 'taint' : '', `${letter}: ${meaning}`] as const,
  );
}

function facts(rows: readonly (readonly [name: string, value: string | null])[]): string[] {
  return rows.flatMap(([name, value]) =>
    value === null ? [] : [`${name.padEnd(13)} ${forTerminal(value)}`],
  );
}

function trace(title: string, entries: readonly ReportedEntry[], death: ReportedDeath | null): string[] {
  if (death === null) return [];
  if (entries.length === 0) return ['', `${title}: the kernel printed none`];
  const sure = entries.filter((entry) => entry.sure);
  const unsure = entries.filter((entry) => !entry.sure);
  return [
    '',
    `${title}, innermost first`,
    ...(sure.length === 0 ? ['  nothing that the unwinder vouches for'] : sure.map(entryLine)),
    ...(unsure.length === 0
      ? []
      : [
          'Also on the stack (marked "?": maybe left over from earlier calls)',
          ...unsure.map((entry) => entryLine(entry)),
        ]),
  ];
}

function entryLine({ text, stack, interrupted }: ReportedEntry): string {
  const on = stack === 'task' ? '' : ` (${stack})`;
  return `  ${forTerminal(text)}${forTerminal(on)}${interrupted ? ' <- interrupted here' : ''}`;
}

function before({ before, cause }: Report): string[] {
  if (before.length === 0) return [];
  const title =
    cause === null ? `The last ${before.length} lines of the log` : `The ${before.length} lines before it`;
  return ['', title, ...before.map((line) => `  ${logLine(line)}`)];
}

function logLine({ time, text }: ReportedLine): string {
  return `${time === null ? '' : `[${time.toFixed(6).padStart(12)}] `}${forTerminal(text)}`;
}

function saved({ capture }: Report): string[] {
  if (capture === null) return [];
  const { record, files, failures, notes } = capture;
  return [
    '',
    'Saved',
    ...facts([
      ['capture', capture.name],
      ['time', capture.time],
      ['in a row', inARow(record?.inARow ?? null)],
      ['file system', record === null ? null : fileSystem(record.save)],
      ['dump', record === null ? null : dump(record.dump)],
    ]),
    ...files.map(({ name, size }) => `  ${forTerminal(name)} (${bytes(size)})`),
    ...(files.length === 0 ? ['  nothing'] : []),
    ...(failures.length === 0
      ? []
      : [
          'Failed',
          ...failures.map((failure) => `  ${forTerminal(failure)}`),
          ...(notes.length === 0
            ? []
            : ['What the capture did', ...notes.map((note) => `  ${forTerminal(note)}`)]),
        ]),
  ];
}

function inARow(count: number | null): string | null {
  return count === null ? null : `${count} since the last good boot`;
}

type Saved = NonNullable<NonNullable<Report['capture']>['record']>;

function fileSystem(save: Saved['save']): string | null {
  if (save.device === null) return null;
  const details = [save.type, save.uuid].filter((part) => part !== null).join(', ');
  return `${save.device}${details === '' ? '' : ` (${details})`}`;
}

function dump(dump: Saved['dump']): string | null {
  if (dump.asked === null) return null;
  const how = dump.how === null ? '' : `, by ${dump.how}`;
  return `${dump.asked}${how}${dump.encrypted === true ? ', encrypted' : ''}`;
}

function at(time: number | null): string {
  return time === null ? '' : `, ${duration(time)} after its start`;
}
