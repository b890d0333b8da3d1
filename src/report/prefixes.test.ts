/** A log tells the same whatever stands before its lines: every recorded log, in every form that programs give to logs. */
import { describe, expect, test } from '@jest/globals';
import { deathLogs } from '../testkit/death-logs.js';
import { decodeLog, encodingOf } from './decode-log.js';
import { makeReport, type Report } from './report.js';

interface Line {
  /** Seconds, and microseconds as six digits. */
  readonly seconds: number;
  readonly fraction: string;
  readonly text: string;
  readonly index: number;
}

const two = (value: number): string => String(value).padStart(2, '0');
/** The log begins shortly before midnight, so that days and months change in it. */
const dateOf = ({ seconds }: Line): Date => new Date(Date.UTC(2026, 0, 31, 23, 59, 57 + seconds));
const months = 'Jan Feb'.split(' ');
const clock = (line: Line): string => dateOf(line).toISOString().slice(11, 19);
const day = (line: Line): string =>
  `${months[dateOf(line).getUTCMonth()] ?? ''} ${two(dateOf(line).getUTCDate())}`;
const stamp = ({ seconds, fraction }: Line): string => `[${String(seconds).padStart(5)}.${fraction}]`;
const levels = ['emerg', 'alert', 'crit', 'err', 'warn', 'notice', 'info', 'debug'];
const level = ({ index }: Line): number => index % 8;
const hosts = 'db-7.example.org';

const forms: Readonly<Record<string, (line: Line) => string>> = {
  'dmesg -T': (line) =>
    `[${dateOf(line).toUTCString().slice(0, 3)} ${day(line)} ${clock(line)} 2026] ${line.text}`,
  'dmesg -H': (line) =>
    line.index % 10 === 0
      ? `[${day(line)} ${clock(line).slice(0, 5)}] ${line.text}`
      : `[  +0.${line.fraction}] ${line.text}`,
  'dmesg -x': (line) => `kern  :${(levels[level(line)] ?? '').padEnd(6)}: ${stamp(line)} ${line.text}`,
  'dmesg -x -T': (line) =>
    `kern  :${(levels[level(line)] ?? '').padEnd(6)}: [${dateOf(line).toUTCString().slice(0, 3)} ${day(line)} ${clock(line)} 2026] ${line.text}`,
  'dmesg -d': (line) =>
    `[${String(line.seconds).padStart(5)}.${line.fraction} <    0.${line.fraction}>] ${line.text}`,
  'dmesg -r': (line) => `<${level(line)}>${stamp(line)} ${line.text}`,
  'dmesg -t': (line) => line.text,
  'dmesg -L': (line) => {
    const colon = line.text.indexOf(': ');
    const [head, rest] =
      colon < 0 ? ['', line.text] : [line.text.slice(0, colon + 2), line.text.slice(colon + 2)];
    return `\x1b[32m${stamp(line)} \x1b[0m\x1b[33m${head}\x1b[0m\x1b[1m${rest}\x1b[0m\x1b[K`;
  },
  'dmesg --time-format=iso': (line) =>
    `${dateOf(line).toISOString().slice(0, 19)},${line.fraction}+01:00 ${line.text}`,
  'dmesg with CONFIG_PRINTK_CALLER': (line) => `${stamp(line)}[    T1] ${line.text}`,
  'journalctl -o short': (line) => `${day(line)} ${clock(line)} ${hosts} kernel: ${line.text}`,
  'journalctl -o short-monotonic': (line) => `${stamp(line)} ${hosts} kernel: ${line.text}`,
  'journalctl -o short-iso': (line) =>
    `${dateOf(line).toISOString().slice(0, 19)}+0100 ${hosts} kernel: ${line.text}`,
  'journalctl -o short-full': (line) =>
    `${dateOf(line).toUTCString().slice(0, 3)} ${dateOf(line).toISOString().slice(0, 10)} ${clock(line)} UTC ${hosts} kernel: ${line.text}`,
  'journalctl -o short-unix': (line) =>
    `17700${two(line.seconds)}.${line.fraction} ${hosts} kernel: ${line.text}`,
  rsyslog: (line) => `${day(line)} ${clock(line)} ${hosts} kernel: ${stamp(line)} ${line.text}`,
  'rsyslog with other programs in between': (line) =>
    `${day(line)} ${clock(line)} ${hosts} kernel: ${stamp(line)} ${line.text}` +
    (line.index % 3 === 0
      ? `\n${day(line)} ${clock(line)} ${hosts} cron[${line.index}]: (root) CMD (true)`
      : ''),
  'RFC 5424': (line) =>
    `<${level(line)}>1 ${dateOf(line).toISOString()} ${hosts} kernel - - - ${stamp(line)} ${line.text}`,
  netconsole: (line) => `${stamp(line)} ${line.text}`,
  'netconsole, extended': (line) =>
    `${level(line)},${line.index},${line.seconds}${line.fraction},-;${line.text}`,
  'netconsole, extended, with the release': (line) =>
    `6.1.0-56-amd64,${level(line)},${line.index},${line.seconds}${line.fraction},-,caller=T1;${line.text}`,
  'a collector that names the sender': (line) =>
    `${day(line)} ${clock(line)} 192.0.2.82 ${stamp(line)} ${line.text}`,
  'a collector of containers': (line) =>
    `node-3/kmsg | ${dateOf(line).toISOString()} stdout F ${stamp(line)} ${line.text}`,
  'a quotation in a mail': (line) => `> > ${stamp(line)} ${line.text}`,
  'a quotation without times': (line) => `> ${line.text}`,
  'an indented paste': (line) => `\t    ${stamp(line)} ${line.text}`,
  'lines with numbers': (line) => `${String(line.index + 1).padStart(6)}\t${stamp(line)} ${line.text}`,
  'carriage returns': (line) => `${stamp(line)} ${line.text}\r`,
};

function linesOf(text: string): readonly (Line | string)[] {
  return text.split('\n').map((raw, index) => {
    const [all, seconds = '', fraction = '', said = ''] = /^\[ *(\d+)\.(\d{6})\] ?(.*)$/.exec(raw) ?? [];
    return all === undefined ? raw : { seconds: Number(seconds), fraction, text: said, index };
  });
}

function reportOf(log: string): Report {
  return makeReport({ where: 'log', log, cut: false, capture: undefined }).report;
}

/** What a person wants to know; the form may have lost times and numbers of lines. */
function told(report: Report): unknown {
  const death = (each: Report['cause']): unknown =>
    each === null
      ? null
      : { ...each, time: 0, line: 0, details: each.details.map((detail) => detail.trim()) };
  return {
    understood: report.source.understood,
    kernel: report.kernel,
    cause: death(report.cause),
    end: death(report.end),
    others: report.others.map(({ kind, text }) => [kind, text.trim()]),
    memory: report.memory,
  };
}

/** A log of which all lines are the kernel's: what a record holds beyond its first line has no prefix in most forms. */
const logs = deathLogs().map(({ release, name, text }) => {
  const lines = linesOf(text).filter((line) => typeof line !== 'string');
  return {
    name: `${release} ${name}`,
    lines,
    plain: told(reportOf(lines.map(forms['netconsole'] ?? String).join('\n'))),
  };
});

describe.each(Object.entries(forms))('%s', (_, form) => {
  test('tells of every recorded log what its plain form tells', () => {
    for (const { name, lines, plain } of logs)
      expect([name, told(reportOf(`${lines.map(form).join('\n')}\n`))]).toEqual([name, plain]);
  });
});

describe('bytes', () => {
  const [log] = logs;
  const text = log?.lines.map(forms['netconsole'] ?? String).join('\r\n') ?? '';
  const utf16 = Buffer.from(text, 'utf16le');
  test.each([
    ['UTF-8 with a byte order mark', Buffer.from(`\ufeff${text}`)],
    ['UTF-16 with a byte order mark', Buffer.from(`\ufeff${text}`, 'utf16le')],
    ['UTF-16 without', utf16],
    ['UTF-16, big end first', Buffer.from(`\ufeff${text}`, 'utf16le').swap16()],
  ])('%s', (_, bytes) => {
    expect(told(reportOf(decodeLog(bytes, encodingOf(bytes), false)))).toEqual(log?.plain);
  });
});

test.each([
  ['prose', 'The machine was slow\nand then it was gone.\nWe do not know why.\n'],
  [
    'JSON',
    logs[0]?.lines.map(({ text }) => JSON.stringify({ MESSAGE: text, PRIORITY: '4' })).join('\n') ?? '',
  ],
  [
    'a different prefix before every line',
    logs[0]?.lines.map(({ text, index }) => `${'x?!-'.repeat(index % 50)}${text}`).join('\n') ?? '',
  ],
])('%s is not understood, and the report says so', (_, text) => {
  const { source, remarks } = reportOf(text);
  expect(source.understood).toBe(false);
  expect(remarks[0]).toMatch(/^The format of this text was not understood/);
});
