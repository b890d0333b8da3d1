/** Which kernel said what on the serial port of a capture run. Pure. */
import { logBegins, logEnds } from '../capture-initramfs/markers.js';
import { serialLines } from './serial-text.js';

/** The last word of the crash stub (stubs/crash/main.c); what follows is the crash kernel's. */
const crashKernelStarts = 'saveoops: kernel panic: starting the crash kernel';
/** The same of the COM32 module, after a reset (stubs/com32/after-reset.c). */
export const captureAfterReset = 'saveoops: the system before ended without a word: capturing its log';

export interface SerialParts {
  /** Firmware, boot loader, primary kernel, crash stub. */
  readonly primary: readonly string[];
  /** The crash kernel and its capture, without the lines of the recovered log. Empty when it was not started. */
  readonly crash: readonly string[];
}

export function serialParts(serial: string): SerialParts {
  const lines = serialLines(serial);
  // Another writer may have left an unfinished line before it.
  const last = lines.findIndex((line) =>
    [crashKernelStarts, captureAfterReset].some((word) => line.trimEnd().endsWith(word)),
  );
  if (last < 0) return { primary: lines, crash: [] };
  return { primary: lines.slice(0, last + 1), crash: withoutRecovered(lines.slice(last + 1)) };
}

function withoutRecovered(lines: readonly string[]): readonly string[] {
  let inside = false;
  return lines.filter((line) => {
    const trimmed = line.trimEnd();
    const ends = trimmed.endsWith(logEnds);
    if (ends) inside = false;
    const kept = !inside;
    if (trimmed.endsWith(logBegins)) inside = true;
    return kept;
  });
}

/**
 * The last line that a kernel printed on the serial port before the boot that captured it, '' when it had printed none; undefined: none was
 * captured after a reset.
 */
export function lastLineBeforeReset(serial: string): string | undefined {
  const lines = serialLines(serial);
  const end = lines.findIndex((line) => line.trimEnd().endsWith(captureAfterReset));
  if (end < 0) return undefined;
  return lines.slice(0, end).findLast((line) => /^\[ *\d+\.\d+\] /.test(line)) ?? '';
}
