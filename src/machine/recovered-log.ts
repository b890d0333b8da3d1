/** Finds in the serial text what the crash side printed between its marker lines. Pure. */
import { logBegins, logEnds } from '../capture-initramfs/markers.js';
import { serialLines } from './serial-text.js';

export interface MarkedBlock {
  readonly lines: readonly string[];
  /** True when the end marker was seen. */
  readonly complete: boolean;
}

/**
 * All blocks between a line `begin` and the next line `end`, in order.
 *
 * - Carriage returns and terminal control are gone (serialLines).
 * - A marker counts at the end of a line: another writer to the console may have left an unfinished line before it.
 * - A second `begin` inside a block ends that block as incomplete: two consoles ended up on one port.
 * - Lines that the crash kernel's own printk put in between stay: they look like lines of the log, and dropping
 *   evidence on a guess would be worse than one line too many. The capture script lowers the console's level.
 */
export function markedBlocks(serial: string, begin: string, end: string): readonly MarkedBlock[] {
  const blocks: MarkedBlock[] = [];
  let open: string[] | undefined;
  for (const line of serialLines(serial)) {
    const trimmed = line.trimEnd();
    if (trimmed.endsWith(begin)) {
      if (open !== undefined) blocks.push({ lines: open, complete: false });
      open = [];
    } else if (open !== undefined && trimmed.endsWith(end)) {
      const before = trimmed.slice(0, -end.length);
      if (before !== '') open.push(before);
      blocks.push({ lines: open, complete: true });
      open = undefined;
    } else {
      open?.push(line);
    }
  }
  if (open !== undefined) blocks.push({ lines: open, complete: false });
  return blocks;
}

export interface RecoveredLog {
  /** The lines, each ended by a line feed. */
  readonly text: string;
  readonly complete: boolean;
}

/**
 * The recovered log, or undefined when no begin marker was seen. Several consoles may print it more than once:
 * a complete one wins over one cut short, a longer one over a shorter, the first among equals.
 */
export function recoveredLog(serial: string): RecoveredLog | undefined {
  let best: MarkedBlock | undefined;
  for (const block of markedBlocks(serial, logBegins, logEnds)) {
    if (best === undefined || rank(block) > rank(best)) best = block;
  }
  return best && { text: best.lines.map((line) => line + '\n').join(''), complete: best.complete };
}

function rank(block: MarkedBlock): number {
  return block.lines.length + (block.complete ? 2 ** 32 : 0);
}
