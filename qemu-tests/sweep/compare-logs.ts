/**
 * Whether every line that the dying kernel put on the serial port is in the recovered log, in order.
 *
 * Normalisation, both sides: terminal control and carriage returns go (serialLines()); trailing blanks go; lines
 * without a time stamp are dropped, since they are not the kernel's (firmware, boot loader, the stub's own line).
 */
import { serialLines } from '../../src/machine/serial-text.js';

const stamped = /^\[ *\d+\.\d+\]/;
const takenOver = /^saveoops: kernel panic/;

/** The lines missing from the recovered log. */
export function missingLines(serial: string, recovered: string): string[] {
  const lines = serialLines(serial);
  const end = lines.findIndex((line) => takenOver.test(line));
  const printed = lines.slice(0, end < 0 ? lines.length : end).filter((line) => stamped.test(line));
  const log = serialLines(recovered).map((line) => line.trimEnd());
  let at = 0;
  return printed
    .map((line) => line.trimEnd())
    .filter((line) => {
      const found = log.indexOf(line, at);
      if (found < 0) return true;
      at = found + 1;
      return false;
    });
}
