/** Call traces as the x86 unwinder prints them. */
import { parseCodePlace, parseInstructionPointer, type CodePlace } from './code-place.js';

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
/** Kernels before 4.10 print the mark of a stack in front of the first entry on it. */
const markInFront = /^<(IRQ|EOI|NMI|#DF|#DB|#MC)> {1,4}(?=\S)/;
const frame = /^(?:R|E)IP: /;

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
    const interrupted = parseInstructionPointer(text);
    if (interrupted !== undefined) return this.#add(interrupted, true, true);
    // Registers at the entry from userspace or of what was interrupted.
    if (isRegisterLine(text) || text.startsWith('Code: ') || frame.test(text)) return true;
    const [inFront = '', onStack = this.#stack] = markInFront.exec(text) ?? [];
    this.#stack = onStack === 'EOI' ? 'task' : onStack;
    const [address = ''] = oldAddress.exec(text.slice(inFront.length, inFront.length + 100)) ?? [];
    const entry = text.slice(inFront.length + address.length);
    const sure = !entry.startsWith('? ');
    const place = parseCodePlace(sure ? `${address}${entry}` : entry.slice(2));
    return place !== undefined && this.#add(place, sure, false);
  }

  #add(place: CodePlace, sure: boolean, interrupted: boolean): boolean {
    if (this.entries.length < mostEntries)
      this.entries.push({ ...place, sure, stack: this.#stack, interrupted });
    return true;
  }
}

/** Kernels before 4.10: `[<ffffffff810c1d31>] ? kthread+0xd1/0xe0`. */
const oldAddress = /^\[<[0-9a-f]{1,16}>\] {1,4}/;
const registerLine =
  /^(?:RSP|RAX|RDX|RBP|R08|R10|R13|FS|CS|CR2|DR0|DR3|ORIG_RAX|PKRU|EFLAGS|GS|EAX|ESI|ESP|CR0): /;
const registerToken =
  /\b([RE][A-Z0-9]{2}|EFLAGS|CR[0234]|ORIG_RAX|PKRU): ?(?:0010:|0018:)?([0-9a-f]{1,16})\b/g;

export function isRegisterLine(text: string): boolean {
  return registerLine.test(text);
}

/** `RAX: 0000 RBX: 0001 ...`: names and values, hexadecimal as printed. */
export function registersOf(text: string): readonly (readonly [string, string])[] {
  return [...text.slice(0, 400).matchAll(registerToken)].map(([, name = '', value = '']) => [name, value]);
}
