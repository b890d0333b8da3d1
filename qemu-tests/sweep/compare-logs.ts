/**
 * Whether every line that the dying kernel put on the serial port is in the recovered log, in order.
 *
 * Normalisation: terminal control and carriage returns go (serialLines()); trailing blanks go; serial lines without a
 * time stamp are dropped, since they are not the kernel's (firmware, boot loader, the stub's own line). A console
 * stamps every line of a record, vmcore-dmesg only the first: the others get the record's stamp.
 */
import { captureAfterReset } from '../../src/machine/serial-parts.js';
import { serialLines } from '../../src/machine/serial-text.js';

const stamped = /^\[ *\d+\.\d+\]/;
const takenOver = new RegExp(`^saveoops: kernel panic|^${captureAfterReset}`);

/** The lines of vmcore-dmesg's output, each with a stamp. */
function stampedLines(recovered: string): string[] {
  let stamp = '';
  return serialLines(recovered).map((line) => {
    const own = stamped.exec(line)?.[0];
    stamp = own ?? stamp;
    return (own === undefined ? `${stamp} ${line}` : line).trimEnd();
  });
}

/** The lines missing from the recovered log. */
export function missingLines(serial: string, recovered: string): string[] {
  const lines = serialLines(serial);
  const end = lines.findIndex((line) => takenOver.test(line));
  const printed = lines.slice(0, end < 0 ? lines.length : end).filter((line) => stamped.test(line));
  const log = stampedLines(recovered);
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
