/** Reads a bare log, from a file or standard input, compressed by gzip or not, of any length. */
import { constants, createGunzip } from 'node:zlib';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { SaveoopsError } from '../errors.js';
import { fileError } from '../host/files.js';
import { decodeLog, encodingOf } from '../report/decode-log.js';

/** A small file can decompress to any size. */
const largestDecompressed = 2 ** 30;

/**
 * The last `limit` bytes as text; `cut` when there were more. `where` names the log in errors. Throws `file` for what cannot
 * be read, `format` for what gzip does not understand or what has no end.
 */
export async function readLogStream(
  stream: Readable,
  limit: number,
  where: string,
): Promise<{ readonly log: string; readonly cut: boolean }> {
  const end = new StreamEnd(limit);
  const raw = asFileError(stream, where)[Symbol.asyncIterator]();
  const first = await raw.next();
  if (first.done === true) return { log: '', cut: false };
  const whole = joined(first.value, raw);
  // RFC 1952, 2.3.1.
  const isGzip = first.value[0] === 0x1f && first.value[1] === 0x8b;
  if (!isGzip) for await (const chunk of whole) end.push(chunk);
  else await decompress(whole, end, where);
  return end.text();
}

async function* joined(first: Buffer, rest: AsyncIterator<Buffer>): AsyncGenerator<Buffer> {
  yield first;
  for (let next = await rest.next(); next.done !== true; next = await rest.next()) yield next.value;
}

async function* asFileError(stream: Readable, where: string): AsyncGenerator<Buffer> {
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) yield chunk;
  } catch (error) {
    throw fileError(where, 'a log', error);
  }
}

async function decompress(chunks: AsyncIterable<Buffer>, end: StreamEnd, where: string): Promise<void> {
  // A file that is cut short gives what is there.
  const gunzip = createGunzip({ finishFlush: constants.Z_SYNC_FLUSH });
  let size = 0;
  try {
    await pipeline(chunks, gunzip, async (plain: AsyncIterable<Buffer>) => {
      for await (const chunk of plain) {
        size += chunk.length;
        if (size > largestDecompressed)
          throw new Error(`more than ${largestDecompressed} bytes when decompressed`);
        end.push(chunk);
      }
    });
  } catch (error) {
    if (error instanceof SaveoopsError) throw error;
    throw new SaveoopsError('format', 'the log cannot be decompressed', {
      where,
      found: error instanceof Error ? error.message : String(error),
      wanted: 'a log, plain or compressed by gzip',
    });
  }
}

/** Keeps the last bytes of a stream, and knows its first. */
class StreamEnd {
  readonly #limit: number;
  readonly #chunks: Buffer[] = [];
  #head: Buffer = Buffer.alloc(0);
  #size = 0;
  /** Bytes that came in all. */
  #total = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  push(chunk: Buffer): void {
    if (this.#head.length < 4) this.#head = Buffer.concat([this.#head, chunk.subarray(0, 4)]).subarray(0, 4);
    this.#chunks.push(chunk);
    this.#size += chunk.length;
    this.#total += chunk.length;
    while (this.#size - (this.#chunks[0]?.length ?? 0) >= this.#limit)
      this.#size -= this.#chunks.shift()?.length ?? 0;
  }

  text(): { log: string; cut: boolean } {
    const encoding = encodingOf(this.#head);
    const bytes = Buffer.concat(this.#chunks).subarray(-this.#limit);
    const before = this.#total - bytes.length;
    // UTF-16 has two bytes a character.
    const whole = encoding === 'utf-8' ? bytes : bytes.subarray(before % 2);
    return { log: decodeLog(whole, encoding, before > 0), cut: before > 0 };
  }
}
