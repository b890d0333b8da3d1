/** Call traces as the x86 unwinder prints them. */
import { parseCodePlace, type CodePlace } from './code-place.js';

export interface TraceEntry extends CodePlace {
  /**
   * false: the kernel printed "?" before it. An address on the stack that the unwinder does not vouch for, most often
   * left over from an earlier call.
   */
  readonly sure: boolean;
  /** task, IRQ, NMI, #DF ...: the stack that it was found on. */
  readonly stack: string;
  /** The place that an interrupt or exception interrupted, known from its registers. */
  readonly interrupted: boolean;
}

/** More than any kernel stack holds. */
const mostEntries = 500;

const stackMark = /^<(\/?)([A-Za-z0-9_#-]{1,20})>$/;
const kernelRip = /^RIP: 0010:/;

/** Collects the lines after "Call Trace:" until one does not belong there. */
export class CallTrace {
  readonly entries: TraceEntry[] = [];
  #stack = 'task';

  /** Takes one line, without spaces around it. false: the trace is over, and the line is not part of it. */
  push(text: string): boolean {
    const mark = stackMark.exec(text);
    if (mark !== null) {
      const [, closing, name = ''] = mark;
      this.#stack = closing === '' ? name.replace(/^TASK$/, 'task') : 'task';
      return true;
    }
    if (kernelRip.test(text)) {
      this.#add(text.replace(kernelRip, ''), true, true);
      return true;
    }
    // Registers at the entry from userspace or of what was interrupted.
    if (isRegisterLine(text) || text.startsWith('Code: ') || text.startsWith('RIP: ')) return true;
    const sure = !text.startsWith('? ');
    return this.#add(sure ? text : text.slice(2), sure, false);
  }

  #add(text: string, sure: boolean, interrupted: boolean): boolean {
    const place = parseCodePlace(text);
    if (place === undefined) return false;
    if (this.entries.length < mostEntries)
      this.entries.push({ ...place, sure, stack: this.#stack, interrupted });
    return true;
  }
}

const registerLine = /^(?:RSP|RAX|RDX|RBP|R08|R10|R13|FS|CS|CR2|DR0|DR3|ORIG_RAX|PKRU|EFLAGS|GS): /;
const registerToken = /\b(R[A-Z0-9]{2}|EFLAGS|CR[0234]|ORIG_RAX|PKRU): ?(?:0010:|0018:)?([0-9a-f]{1,16})\b/g;

export function isRegisterLine(text: string): boolean {
  return registerLine.test(text);
}

/** `RAX: 0000 RBX: 0001 ...`: names and values, hexadecimal as printed. */
export function registersOf(text: string): readonly (readonly [string, string])[] {
  return [...text.slice(0, 400).matchAll(registerToken)].map(([, name = '', value = '']) => [name, value]);
}
