/** A kernel log as lines with times. Pure; the text may be hostile. */
import { logBegins } from '../capture-initramfs/markers.js';
import { recoveredLog } from '../machine/recovered-log.js';
import { serialLines } from '../machine/serial-text.js';
import { endOfPrefix, learnPrefix, type LearnedPrefix } from './line-prefix.js';

export interface LogLine {
  /** From 1, in the text that was read. */
  readonly number: number;
  /** Seconds since the kernel's clock started; undefined: the line has none. */
  readonly time: number | undefined;
  /** 0 (emergency) to 7 (debug), where the log has levels (`<4>[    1.0] ...`). */
  readonly level: number | undefined;
  /** Who printed it, with CONFIG_PRINTK_CALLER: a thread (T1) or a CPU (C0). */
  readonly caller: string | undefined;
  /** Whether it begins as the lines of this log do; else another program or a person wrote it. */
  readonly ofKernel: boolean;
  /** Without what stands before; control characters are as they were, but colours are gone. */
  readonly text: string;
}

/** ECMA-48 SGR and EL: what `dmesg -L` and `journalctl` colour with. */
const colours = /\x1b\[[\d;]{0,20}[mK]/g;
const printkTime = /\[ {0,12}(\d{1,10})\.(\d{1,9})\]/;
const printkCaller = /[[=] {0,8}([TC]\d{1,10})\b/;
/** /dev/kmsg, which netconsole sends on: level and facility, number, microseconds, flags. */
const extended = /(?:^|[ ,])(\d{1,3}),\d{1,20},(\d{1,16}),[-c]/;
const printkLevel = /<(\d{1,3})>/;
const levelNames = ['emerg', 'alert', 'crit', 'err', 'warn', 'notice', 'info', 'debug'];
const levelName = new RegExp(`:(${levelNames.join('|')}) {0,6}:`);

function parseLogLine(line: string, number: number, learned: LearnedPrefix): LogLine {
  const end = endOfPrefix(line, learned);
  if (end === undefined || end === 0)
    return {
      number,
      time: undefined,
      level: undefined,
      caller: undefined,
      ofKernel: end !== undefined,
      text: line,
    };
  const prefix = line.slice(0, end);
  const kmsg = extended.exec(prefix);
  return {
    number,
    time: kmsg === null ? secondsOf(prefix) : Number(kmsg[2]) / 1e6,
    level: levelOf(prefix, kmsg?.[1]),
    caller: printkCaller.exec(prefix)?.[1],
    ofKernel: true,
    text: line.slice(end),
  };
}

function secondsOf(prefix: string): number | undefined {
  const match = printkTime.exec(prefix);
  return match === null ? undefined : Number(`${match[1] ?? ''}.${match[2] ?? ''}`);
}

function levelOf(prefix: string, extendedLevel: string | undefined): number | undefined {
  const told = extendedLevel ?? printkLevel.exec(prefix)?.[1];
  if (told !== undefined) return Number(told) & 7;
  const name = prefix.includes(':') ? levelName.exec(prefix)?.[1] : undefined;
  return name === undefined ? undefined : levelNames.indexOf(name);
}

export interface ReadLog {
  readonly lines: readonly LogLine[];
  /** dmesg: a log alone. recovered: cut out of a serial log by the capture's markers. serial: what a console carried. */
  readonly kind: 'dmesg' | 'recovered' | 'serial';
  /** false: the text is not that of a kernel's log in any way that could be made out. */
  readonly understood: boolean;
}

const banner = 'Linux version ';

/**
 * Reads a file of either kind. Of a log that holds several boots without the capture's markers, the last boot in which
 * `isDeath` finds one, else the last, is taken; of one with markers, what is between them.
 */
export function readLog(text: string, isDeath: (lines: readonly LogLine[]) => boolean): ReadLog {
  const recovered = text.includes(logBegins) ? recoveredLog(text) : undefined;
  if (recovered !== undefined) return { ...parseLines(recovered.text.split('\n')), kind: 'recovered' };
  // A console's lines end in carriage returns, too; those of dmesg and vmcore-dmesg have none.
  const serial = text.includes('\r');
  const { lines, understood } = parseLines(serial ? serialLines(text) : text.split('\n'));
  const boots = bootsOf(lines);
  return {
    lines: boots.findLast(isDeath) ?? boots.at(-1) ?? [],
    kind: serial ? 'serial' : 'dmesg',
    understood,
  };
}

function parseLines(raw: readonly string[]): { lines: LogLine[]; understood: boolean } {
  const plain = raw.some((line) => line.includes('\x1b'))
    ? raw.map((line) => line.replace(colours, ''))
    : raw;
  const learned = learnPrefix(plain);
  const lines = plain.map((line, index) => parseLogLine(line, index + 1, learned));
  while (lines.at(-1)?.text.trim() === '') lines.pop();
  return { lines, understood: lines.length === 0 || learned.understood };
}

/** One list a boot: each begins with the kernel's banner, but the first, which may have lost it. */
function bootsOf(lines: readonly LogLine[]): LogLine[][] {
  const boots: LogLine[][] = [[]];
  for (const line of lines) {
    if (line.text.startsWith(banner) && (boots.at(-1)?.length ?? 0) > 0) boots.push([]);
    boots.at(-1)?.push(line);
  }
  return boots;
}
