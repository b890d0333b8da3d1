/** From the bytes of a log to text. Pure. */

export type LogEncoding = 'utf-8' | 'utf-16le' | 'utf-16be';

/**
 * By the byte order mark, or by every other byte being zero, as of the ASCII that a log mostly is (PowerShell's `>` and
 * Notepad write UTF-16).
 * @param head the first bytes of the log; four are enough
 */
export function encodingOf(head: Uint8Array): LogEncoding {
  const [a, b, c, d] = head;
  if (a === 0xff && b === 0xfe) return 'utf-16le';
  if (a === 0xfe && b === 0xff) return 'utf-16be';
  if (a !== 0 && b === 0 && c !== 0 && d === 0 && c !== undefined) return 'utf-16le';
  if (a === 0 && b !== 0 && c === 0 && d !== 0 && d !== undefined) return 'utf-16be';
  return 'utf-8';
}

/**
 * What is no text in that encoding becomes U+FFFD; the byte order mark goes.
 * @param cut the beginning is missing: the first line is half a line, and left out
 */
export function decodeLog(bytes: Uint8Array, encoding: LogEncoding, cut: boolean): string {
  const text = new TextDecoder(encoding).decode(bytes);
  return cut ? text.slice(text.indexOf('\n') + 1) : text;
}
