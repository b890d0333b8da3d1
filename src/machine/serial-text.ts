/** From what a serial port carried to lines. Pure. */

/**
 * Terminal control: ECMA-48 CSI sequences (SeaBIOS and Syslinux emit them), OSC, two-byte escapes, and the other
 * control characters except tab and line ends.
 */
const controls =
  /\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[@-_]|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]/g;

/** Removes terminal control; line ends stay. */
export function stripControls(text: string): string {
  return text.replace(controls, '');
}

/**
 * Lines without terminal control. A carriage return ends a line as a line feed does: the kernel sends both, and a
 * progress display sends carriage returns alone, after which a message may start.
 */
export function serialLines(text: string): readonly string[] {
  const lines = stripControls(text).split(/\r*\n|\r+/);
  if (lines.at(-1) === '') lines.pop();
  return lines;
}

/** Splits a stream as serialLines splits a text, keeping an incomplete last line and an incomplete escape apart. */
export class LineSplitter {
  #rest = '';

  /** Gives the lines that `chunk` completes. */
  push(chunk: string): readonly string[] {
    this.#rest += chunk;
    // A carriage return at the very end may be half of a line end.
    const end = Math.max(this.#rest.lastIndexOf('\n'), this.#rest.lastIndexOf('\r', this.#rest.length - 2));
    if (end < 0) return [];
    const complete = this.#rest.slice(0, end + 1);
    this.#rest = this.#rest.slice(end + 1);
    return serialLines(complete);
  }

  /** The line not yet ended: a prompt, or output in the making. */
  get partial(): string {
    return stripControls(this.#rest).replace(/\r/g, '');
  }
}
