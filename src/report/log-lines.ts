/** A kernel log as lines with times. Pure; the text may be hostile, so nothing here depends on more than one line. */
import { logBegins } from '../capture-initramfs/markers.js';
import { recoveredLog } from '../machine/recovered-log.js';
import { serialLines } from '../machine/serial-text.js';

export interface LogLine {
  /** From 1, in the text that was read. */
  readonly number: number;
  /** Seconds since the kernel's clock started; undefined: the line has none. */
  readonly time: number | undefined;
  /** 0 (emergency) to 7 (debug), where the log has levels (`<4>[    1.0] ...`). */
  readonly level: number | undefined;
  /** Without time and level; control characters are as they were. */
  readonly text: string;
}

/**
 * What printk puts before a line: level and facility (`dmesg -r`), time, and with CONFIG_PRINTK_CALLER the thread
 * (T1) or the CPU (C0) that printed it.
 */
const prefix = /^(?:<(\d{1,3})>)?\[ {0,12}(\d{1,10})\.(\d{1,9})\](?:\[ {0,8}[TC]\d{1,10}\])? ?/;
const levelAlone = /^<(\d{1,3})>/;

export function parseLogLine(raw: string, number: number): LogLine {
  const full = prefix.exec(raw);
  if (full !== null) {
    const [all, level, seconds, fraction] = full;
    return {
      number,
      time: Number(`${seconds ?? ''}.${fraction ?? ''}`),
      level: level === undefined ? undefined : Number(level) & 7,
      text: raw.slice(all.length),
    };
  }
  const level = levelAlone.exec(raw);
  return {
    number,
    time: undefined,
    level: level === null ? undefined : Number(level[1]) & 7,
    text: raw.slice(level?.[0].length ?? 0),
  };
}

export interface ReadLog {
  readonly lines: readonly LogLine[];
  /** dmesg: a log alone. recovered: cut out of a serial log by the capture's markers. serial: what a console carried. */
  readonly kind: 'dmesg' | 'recovered' | 'serial';
}

const banner = 'Linux version ';

/**
 * Reads a file of either kind. Of a serial log that holds several boots without the capture's markers, the last
 * boot in which `isDeath` finds one, else the last, is taken; of one with markers, what is between them.
 */
export function readLog(text: string, isDeath: (lines: readonly LogLine[]) => boolean): ReadLog {
  const recovered = text.includes(logBegins) ? recoveredLog(text) : undefined;
  if (recovered !== undefined) return { lines: parseLines(recovered.text.split('\n')), kind: 'recovered' };
  // A console's lines end in carriage returns, too; those of dmesg and vmcore-dmesg have none.
  if (!text.includes('\r')) {
    const boots = bootsOf(parseLines(text.split('\n')));
    return { lines: boots.findLast(isDeath) ?? boots.at(-1) ?? [], kind: 'dmesg' };
  }
  const boots = bootsOf(parseLines(serialLines(text)));
  return { lines: boots.findLast(isDeath) ?? boots.at(-1) ?? [], kind: 'serial' };
}

function parseLines(raw: readonly string[]): LogLine[] {
  const lines = raw.map((line, index) => parseLogLine(line, index + 1));
  while (lines.at(-1)?.text.trim() === '') lines.pop();
  return lines;
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
