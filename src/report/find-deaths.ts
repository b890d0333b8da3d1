/**
 * Finds in a kernel's log what the kernel died of, and what it survived before: oopses, panics, lockups, warnings, each
 * with the lines that it printed about them. Pure. Formats of 5.10 to 7.x, x86.
 */
import { CallTrace, isRegisterLine, registersOf, type TraceEntry } from './call-trace.js';
import { parseCodePlace, type CodePlace } from './code-place.js';
import { parseCpuLine, parseHungTask, parseLockupTask } from './cpu-line.js';
import {
  kindOfHeadline,
  kindOfOops,
  kindOfPanic,
  panicMessage,
  survivable,
  type DeathKind,
} from './kinds-of-death.js';
import type { LogLine } from './log-lines.js';

/** One thing that went wrong, in the order of the log. */
export interface Death {
  readonly kind: DeathKind;
  /** Its own first line; for an exception without one (early) what its registers are headed by. */
  readonly headline: LogLine;
  /** The line with "[#1]": exception, error code, counter. */
  readonly oops: string | undefined;
  /** What panic() was given; undefined: no panic. */
  readonly message: string | undefined;
  readonly cpu: number | undefined;
  readonly pid: number | undefined;
  readonly comm: string | undefined;
  /** Flags as printed; "" not tainted; undefined: not told. */
  readonly taint: string | undefined;
  readonly hardware: string | undefined;
  /** Where the instruction pointer was in the kernel. */
  readonly at: CodePlace | undefined;
  /** The address that was used, 0x..., where the log tells. */
  readonly address: string | undefined;
  readonly registers: Readonly<Record<string, string>>;
  readonly code: string | undefined;
  readonly trace: readonly TraceEntry[];
  readonly modules: readonly string[];
  /** `#PF:` lines, Workqueue, and the like. */
  readonly details: readonly string[];
  /** Number of the last line that belongs to it. */
  readonly lastLine: number;
}

export interface FoundDeaths {
  /** Of all kinds, the survived ones too. */
  readonly all: readonly Death[];
  /** What killed the kernel; undefined: the log shows no death. */
  readonly cause: Death | undefined;
  /** The panic in which it ended; undefined when none was logged. It may be the cause itself. */
  readonly end: Death | undefined;
}

interface Draft {
  readonly death: { -readonly [Key in keyof Death]: Death[Key] };
  /** The part of the story that counts is told: what follows repeats it. */
  told: boolean;
  readonly hasHeadline: boolean;
  hasRip: boolean;
}

/** An oops prints its line with "[#1]" within so many lines after the first. */
const introLength = 12;
const mostDeaths = 200;

export function findDeaths(lines: readonly LogLine[]): FoundDeaths {
  const finder = new Finder();
  for (const line of lines) finder.push(line);
  const all = finder.deaths();
  const end = all.findLast((death) => death.message !== undefined);
  return { all, cause: causeOf(all, end), end };
}

export function hasDeath(lines: readonly LogLine[]): boolean {
  return findDeaths(lines).cause !== undefined;
}

/** The first that the kernel cannot have survived, unless a panic says that it is about a survivable one. */
function causeOf(all: readonly Death[], end: Death | undefined): Death | undefined {
  const fatal = all.find((death) => !survivable.has(death.kind));
  if (fatal?.message === undefined) return fatal;
  const before = all.slice(0, all.indexOf(fatal));
  const { message } = fatal;
  const aboutIt = before.findLast((death) => survivable.get(death.kind)?.test(message) === true);
  return aboutIt ?? fatal ?? end;
}

class Finder {
  readonly #deaths: Draft[] = [];
  #open: Draft | undefined;
  #trace: CallTrace | undefined;
  #lastLine = 0;

  push(line: LogLine): void {
    const text = line.text.trim();
    this.#lastLine = line.number;
    if (this.#trace !== undefined) {
      if (this.#trace.push(text)) {
        this.#touch(line);
        return;
      }
      this.#endTrace();
    }
    if (this.#begins(line, text)) return;
    const open = this.#open;
    if (open === undefined) return;
    if (text.startsWith('NMI backtrace for cpu') || text.startsWith('Sending NMI from CPU')) {
      // What other CPUs were doing is not this death.
      this.#open = undefined;
      return;
    }
    if (!open.told && this.#tells(open, text)) this.#touch(line);
  }

  deaths(): readonly Death[] {
    this.#endTrace();
    return this.#deaths
      .filter(({ death, hasHeadline, hasRip }) => hasHeadline || (hasRip && this.#isAtEnd(death)))
      .map(({ death }) => death);
  }

  /** An early exception halts the machine. Registers that somebody asked for (SysRq-p) do not. */
  #isAtEnd(death: Death): boolean {
    return death.lastLine === this.#lastLine;
  }

  /** true: the line begins a story, or is the "[#1]" of the open one. */
  #begins(line: LogLine, text: string): boolean {
    const oops = oopsTitle(text);
    if (oops !== undefined) {
      const intro = this.#open?.told === false ? this.#open.death : undefined;
      if (intro !== undefined && intro.oops === undefined && intro.message === undefined) {
        if (line.number - intro.headline.number <= introLength && !survivable.has(intro.kind)) {
          intro.oops = text;
          this.#touch(line);
          return true;
        }
      }
      this.#start(line, kindOfOops(oops), { oops: text, address: addressIn(text) });
      return true;
    }
    const kind = kindOfHeadline(text);
    if (kind === 'panic' || text.startsWith('Kernel panic')) {
      this.#start(line, kind ?? 'panic', { message: panicMessage(text) });
      return true;
    }
    if (kind !== undefined) {
      const task =
        kind === 'soft-lockup'
          ? parseLockupTask(text)
          : kind === 'hung-task'
            ? parseHungTask(text)
            : undefined;
      this.#start(line, kind, { ...task, taint: undefined, address: addressIn(text) });
      return true;
    }
    // Registers without a headline: that of an early exception goes to no log.
    if ((this.#open === undefined || this.#open.told) && text.startsWith('CPU: ')) {
      const cpu = parseCpuLine(text);
      if (cpu !== undefined) this.#start(line, 'early-exception', cpu, false);
      return cpu !== undefined;
    }
    return false;
  }

  #start(headline: LogLine, kind: DeathKind, known: Partial<Death>, hasHeadline = true): void {
    this.#endTrace();
    this.#open = undefined;
    if (this.#deaths.length >= mostDeaths) {
      // The last panic is the end: it takes the place of the one before.
      if (known.message === undefined) return;
      this.#deaths.pop();
    }
    const death = {
      kind,
      headline,
      oops: undefined,
      message: undefined,
      cpu: undefined,
      pid: undefined,
      comm: undefined,
      taint: undefined,
      hardware: undefined,
      at: undefined,
      address: undefined,
      registers: {},
      code: undefined,
      modules: [],
      details: [],
      lastLine: headline.number,
      ...known,
      trace: [],
    };
    this.#open = { death, hasHeadline, told: false, hasRip: false };
    this.#deaths.push(this.#open);
  }

  /** Takes what a line tells about the open story; false: nothing. */
  #tells(open: Draft, text: string): boolean {
    const { death } = open;
    if (death.message === '' && death.lastLine === death.headline.number && !text.startsWith('CPU: ')) {
      // 5.10 with PREEMPT_RT prints what panic() was given as a record of its own.
      death.headline = { ...death.headline, text: `${death.headline.text.trim()} ${text}` };
      death.message = text;
      death.kind = kindOfPanic(text);
      return true;
    }
    if (text.startsWith('---[ end ')) {
      open.told = true;
      return true;
    }
    if (text.startsWith('CPU: ')) {
      const cpu = parseCpuLine(text);
      if (cpu === undefined || death.taint !== undefined) return false;
      // Of a hung task another one tells.
      if (death.kind === 'hung-task') death.taint = cpu.taint;
      else Object.assign(death, cpu);
      return true;
    }
    if (text.startsWith('Hardware name: ')) {
      death.hardware ??= text.slice('Hardware name: '.length);
      return true;
    }
    if (text.startsWith('RIP: 0010:')) {
      open.hasRip = true;
      death.at ??= parseCodePlace(text.slice('RIP: 0010:'.length));
      return true;
    }
    if (text === 'Call Trace:') {
      if (death.trace.length > 0) return false;
      this.#trace = new CallTrace();
      return true;
    }
    if (text.startsWith('Modules linked in:')) {
      death.modules = text.slice('Modules linked in:'.length).split(' ').filter(isModule).slice(0, 500);
      return true;
    }
    if (text.startsWith('Code: ')) {
      death.code ??= text.slice('Code: '.length);
      return true;
    }
    if (isRegisterLine(text)) {
      death.registers = { ...Object.fromEntries(registersOf(text)), ...death.registers };
      return true;
    }
    if (/^(?:#PF: |Workqueue: |task:|Tainted: \[|traps: )/.test(text)) {
      if (death.details.length < 20) death.details = [...death.details, text];
      return true;
    }
    return false;
  }

  #touch(line: LogLine): void {
    if (this.#open !== undefined) this.#open.death.lastLine = line.number;
  }

  #endTrace(): void {
    if (this.#open !== undefined && this.#trace !== undefined) this.#open.death.trace = this.#trace.entries;
    this.#trace = undefined;
  }
}

/** "general protection fault, ..." of `Oops: general protection fault, ...: 0000 [#1] SMP`. */
function oopsTitle(text: string): string | undefined {
  const at = text.indexOf(' [#');
  if (at < 0 || at > 300 || !/^ \[#\d{1,6}\]/.test(text.slice(at))) return undefined;
  const head = text.slice(0, at);
  if (!/: [0-9a-f]{4}$/.test(head)) return undefined;
  // Since 6.10 all of them begin with "Oops: "; of a page fault nothing else is there.
  return head.slice(0, -': 0000'.length).replace(/^Oops: /, '');
}

function addressIn(text: string): string | undefined {
  const at = text.search(/ address:? /);
  const hex = at < 0 ? undefined : /^ address:? (?:0x)?([0-9a-f]{1,16})\b/.exec(text.slice(at))?.[1];
  return hex === undefined ? undefined : `0x${hex.replace(/^0+(?=.)/, '')}`;
}

function isModule(word: string): boolean {
  return word !== '' && !word.startsWith('[');
}
