/**
 * Finds in a kernel's log what the kernel died of, and what it survived before: oopses, panics, lockups, warnings, each
 * with the lines that it printed about them. Pure. Formats of x86 kernels from 5.10 to 7.x; of older kernels and of other
 * architectures what is alike.
 */
import { CallTrace, isRegisterLine, registersOf, type TraceEntry } from './call-trace.js';
import { parseInstructionPointer, placeInHeadline, type CodePlace } from './code-place.js';
import { parseCpuLine, parseHungTask, parseLockupTask } from './cpu-line.js';
import {
  kindOfHeadline,
  kindOfOops,
  kindOfPanic,
  panicMessage,
  squeezed,
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
  /** Which line of its teller began it. */
  readonly begun: number;
  readonly death: { -readonly [Key in keyof Death]: Death[Key] };
  /** The part of the story that counts is told: what follows repeats it. */
  told: boolean;
  readonly hasHeadline: boolean;
  hasRip: boolean;
  /** CPUs that a lockup or a stall names: what they were doing an NMI asks them. Until then; then empty. */
  readonly suspects: Set<number>;
}

/** An oops prints its line with "[#1]" within so many lines after the first. */
const introLength = 12;
const mostDeaths = 200;
const mostSuspects = 64;
/** Threads and CPUs whose stories are told apart at a time. */
const mostCallers = 256;

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
  const message = squeezed(fatal.message);
  const aboutIt = before.findLast((death) => survivable.get(death.kind)?.test(message) === true);
  return aboutIt ?? fatal ?? end;
}

/** What one thread or CPU is telling. */
interface Teller {
  /** Lines so far; those of others in between do not count. */
  lines: number;
  /**
   * The stories that are open, the oldest first. Mostly there is one: when two CPUs die at a time and the log does not
   * say who printed a line, their lines come in between each other. Each then goes to the oldest story that lacks it: a
   * heuristic, right as long as the one that began first stays ahead. printk.caller (CONFIG_PRINTK_CALLER) does without.
   */
  open: Draft[];
  trace: { readonly of: Draft; readonly collected: CallTrace } | undefined;
}

class Finder {
  readonly #deaths: Draft[] = [];
  readonly #tellers = new Map<string, Teller>();
  #lastLine = 0;

  push(line: LogLine): void {
    if (!line.ofKernel) return;
    const text = line.text.trim();
    this.#lastLine = line.number;
    const teller = this.#teller(line.caller);
    teller.lines++;
    const { trace } = teller;
    if (trace !== undefined) {
      if (trace.collected.push(text)) {
        trace.of.death.lastLine = line.number;
        return;
      }
      endTrace(teller);
    }
    if (text === '') return;
    if (this.#begins(teller, line, text)) return;
    if (text.startsWith('NMI backtrace for cpu') || text.startsWith('Sending NMI from CPU')) {
      this.#asks(teller, text);
      return;
    }
    for (const draft of teller.open) {
      if (draft.told || !tells(teller, draft, text)) continue;
      draft.death.lastLine = line.number;
      return;
    }
  }

  deaths(): readonly Death[] {
    for (const teller of this.#tellers.values()) endTrace(teller);
    return this.#deaths
      .filter(({ death, hasHeadline, hasRip }) => hasHeadline || (hasRip && this.#isAtEnd(death)))
      .map(({ death }) => ({ ...death, at: death.at ?? complainer(death) }));
  }

  #teller(caller = ''): Teller {
    const known = this.#tellers.get(caller);
    if (known !== undefined) return known;
    // The oldest is forgotten: its story is over, or the log is made to fill memory.
    if (this.#tellers.size >= mostCallers) {
      const [[oldest, teller] = ['', undefined]] = this.#tellers;
      if (teller !== undefined) endTrace(teller);
      this.#tellers.delete(oldest);
    }
    const teller: Teller = { lines: 0, open: [], trace: undefined };
    this.#tellers.set(caller, teller);
    return teller;
  }

  /** An early exception halts the machine. Registers that somebody asked for (SysRq-p) do not. */
  #isAtEnd(death: Death): boolean {
    return death.lastLine === this.#lastLine;
  }

  /** true: the line begins a story, or is the "[#1]" of an open one. */
  #begins(teller: Teller, line: LogLine, text: string): boolean {
    const oops = oopsTitle(text);
    if (oops !== undefined) {
      const intro = teller.open.find((draft) => isIntro(draft, teller));
      if (intro !== undefined) {
        intro.death.oops = text;
        intro.death.lastLine = line.number;
        return true;
      }
      this.#start(teller, line, kindOfOops(oops), { oops: text, address: addressIn(text) });
      return true;
    }
    const kind = kindOfHeadline(text);
    if (kind === undefined) return this.#beginsWithoutHeadline(teller, line, text);
    if (squeezed(text).startsWith('kernelpanic')) {
      const at = kind === 'stack-protector' ? placeInHeadline(text) : undefined;
      this.#start(teller, line, kind, { message: panicMessage(text), at });
      return true;
    }
    // A reference counter's own line is followed by that of the warning.
    const before = teller.open.at(-1);
    if (kind === 'warning' && before?.death.kind === 'refcount' && before.begun === teller.lines - 1) {
      before.death.lastLine = line.number;
      return true;
    }
    const task =
      kind === 'soft-lockup' ? parseLockupTask(text) : kind === 'hung-task' ? parseHungTask(text) : undefined;
    const draft = this.#start(teller, line, kind, {
      ...task,
      taint: undefined,
      address: addressIn(text),
      at: kind === 'complaint' || kind === 'warning' ? placeInHeadline(text) : undefined,
    });
    const locked = kind === 'hard-lockup' ? /\bcpu (\d{1,6})/i.exec(text)?.[1] : undefined;
    if (locked !== undefined) draft?.suspects.add(Number(locked));
    return true;
  }

  /** Registers without a headline: that of an early exception goes to no log. */
  #beginsWithoutHeadline(teller: Teller, line: LogLine, text: string): boolean {
    if (text.startsWith('Kernel panic')) {
      this.#start(teller, line, 'panic', { message: panicMessage(text) });
      return true;
    }
    if (teller.open.some(({ told }) => !told) || !text.startsWith('CPU: ')) return false;
    const cpu = parseCpuLine(text);
    if (cpu !== undefined) this.#start(teller, line, 'early-exception', cpu, false);
    return cpu !== undefined;
  }

  /**
   * A CPU is asked by NMI what it is doing. Where a lockup or a stall names that CPU, the answer is its story: what was
   * said before was about the CPU that found out. Else it belongs to no story here.
   */
  #asks(teller: Teller, text: string): void {
    teller.open = [];
    const cpu = /^NMI backtrace for cpu (\d{1,6})$/.exec(text)?.[1];
    if (cpu === undefined) return;
    const stalled = this.#deaths.findLast(({ suspects }) => suspects.has(Number(cpu)));
    if (stalled === undefined) return;
    stalled.suspects.clear();
    stalled.told = false;
    stalled.hasRip = false;
    const { death } = stalled;
    Object.assign(death, {
      ...{ cpu: undefined, pid: undefined, comm: undefined, taint: undefined, at: undefined },
      ...{ code: undefined, registers: {}, trace: [] },
    });
    teller.open = [stalled];
  }

  #start(
    teller: Teller,
    headline: LogLine,
    kind: DeathKind,
    known: Partial<Death>,
    hasHeadline = true,
  ): Draft | undefined {
    endTrace(teller);
    // Of two that die at a time, the second begins before the first has said more than its headline.
    teller.open =
      hasHeadline && known.message === undefined
        ? teller.open.filter((draft) => isWaiting(draft, teller))
        : [];
    if (this.#deaths.length >= mostDeaths) {
      // The last panic is the end: it takes the place of the one before.
      if (known.message === undefined) return undefined;
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
    const draft: Draft = {
      begun: teller.lines,
      death,
      hasHeadline,
      told: false,
      hasRip: false,
      suspects: new Set(),
    };
    teller.open.push(draft);
    this.#deaths.push(draft);
    return draft;
  }
}

/** UBSAN's headline names a line of source; the function is the one that called the debugging aid. */
function complainer({ kind, trace }: Death): CodePlace | undefined {
  if (kind !== 'complaint') return undefined;
  const aid =
    /^(?:dump_stack|show_stack|print_|report_|ubsan_|__ubsan_|kasan_|__kasan_|__asan_|kfence_|kmsan_|__msan_)/;
  return trace.find((entry) => entry.sure && entry.function !== undefined && !aid.test(entry.function));
}

/** Whether "[#1]" may be this story's. */
function isIntro({ death, told, begun }: Draft, teller: Teller): boolean {
  return (
    !told &&
    death.oops === undefined &&
    death.message === undefined &&
    teller.lines - begun <= introLength &&
    !survivable.has(death.kind)
  );
}

/** Whether this oops has begun and not said whose it is, while another begins. */
function isWaiting({ death, told, begun, hasHeadline }: Draft, teller: Teller): boolean {
  return (
    !told &&
    hasHeadline &&
    death.message === undefined &&
    death.taint === undefined &&
    !survivable.has(death.kind) &&
    teller.lines - begun <= introLength
  );
}

/** Takes what a line tells about an open story; false: nothing, or nothing that it does not have. */
function tells(teller: Teller, draft: Draft, text: string): boolean {
  const { death } = draft;
  if (death.message === '' && death.lastLine === death.headline.number && !text.startsWith('CPU: ')) {
    // 5.10 with PREEMPT_RT prints what panic() was given as a record of its own.
    death.headline = { ...death.headline, text: `${death.headline.text.trim()} ${text}` };
    death.message = text;
    death.kind = kindOfPanic(text);
    return true;
  }
  if (text.startsWith('---[ end ')) {
    draft.told = true;
    return true;
  }
  const cpu = parseCpuLine(text);
  if (cpu !== undefined) {
    if (death.taint !== undefined) return false;
    // Of a hung task another one tells.
    if (death.kind === 'hung-task') death.taint = cpu.taint;
    else Object.assign(death, cpu);
    return true;
  }
  if (text.startsWith('Hardware name: ')) {
    if (death.hardware !== undefined) return false;
    death.hardware = text.slice('Hardware name: '.length);
    return true;
  }
  const place = parseInstructionPointer(text);
  if (place !== undefined || text.startsWith('RIP: 0010:')) {
    if (draft.hasRip) return false;
    draft.hasRip = true;
    death.at ??= place;
    return true;
  }
  if (text.length < 20 && squeezed(text) === 'calltrace:') {
    if (death.trace.length > 0) return false;
    teller.trace = { of: draft, collected: new CallTrace() };
    return true;
  }
  if (text.startsWith('Modules linked in:')) {
    if (death.modules.length > 0) return false;
    death.modules = text.slice('Modules linked in:'.length).split(' ').filter(isModule).slice(0, 500);
    return true;
  }
  if (text.startsWith('Code: ')) {
    if (death.code !== undefined) return false;
    death.code = text.slice('Code: '.length);
    return true;
  }
  if (isRegisterLine(text)) {
    const registers = Object.fromEntries(registersOf(text));
    if (Object.keys(registers).every((name) => name in death.registers)) return false;
    death.registers = { ...registers, ...death.registers };
    return true;
  }
  if (death.kind === 'rcu-stall') {
    // "rcu: \t1-...!: (0 ticks this GP) ...": a CPU that holds it up.
    const stalled = /^(?:rcu:)?\s{0,8}(\d{1,6})-\S{1,20} \(/.exec(text)?.[1];
    if (stalled !== undefined && draft.suspects.size < mostSuspects) draft.suspects.add(Number(stalled));
    if (stalled !== undefined) return true;
  }
  if (
    /^(?:#PF: |Workqueue: |task:|Tainted: \[|traps: |(?:Read|Write) of size )/.test(text) &&
    !death.details.includes(text)
  ) {
    if (death.details.length < 20) death.details = [...death.details, text];
    death.address ??= addressIn(text);
    return true;
  }
  return false;
}

function endTrace(teller: Teller): void {
  const { trace } = teller;
  if (trace !== undefined) trace.of.death.trace = trace.collected.entries;
  teller.trace = undefined;
}

/** "general protection fault, ..." of `Oops: general protection fault, ...: 0000 [#1] SMP`. */
function oopsTitle(text: string): string | undefined {
  const at = text.indexOf(' [#');
  if (at < 0 || at > 300 || !/^ \[#\d{1,6}\]/.test(text.slice(at))) return undefined;
  const head = text.slice(0, at);
  const code = /:? ?[0-9a-f]{4,16}$/.exec(head)?.[0];
  if (code?.startsWith(':') !== true) return undefined;
  // Since 6.10 all of them begin with "Oops: "; of a page fault nothing else is there.
  return head.slice(0, -code.length).replace(/^(?:Internal error: )?Oops: ?/i, '') || 'Oops';
}

function addressIn(text: string): string | undefined {
  const told = / (?:address:?|addr|request at|dereference at) (?:0x)?([0-9a-f]{1,16})\b/;
  const hex = told.exec(text.slice(0, 400))?.[1];
  return hex === undefined ? undefined : `0x${hex.replace(/^0+(?=.)/, '')}`;
}

function isModule(word: string): boolean {
  return word !== '' && !word.startsWith('[');
}
