/**
 * Whether this boot is one instead of a kernel that panicked again and again, and what is known of that. /bin/boot-once of
 * the capture initramfs has the boot loader tell the kernel the name of the last capture.
 */
import { constants } from 'node:fs';
import { open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fallbackWord } from '../capture-initramfs/in-a-row.js';
import { defaultPlaces } from '../saved-captures/default-places.js';

export interface Fallback {
  /** Name of the last capture. */
  readonly capture: string;
  /** Its folder, where that is mounted. */
  readonly folder: string | undefined;
  /** Of the kernel that panicked. */
  readonly release: string | undefined;
  readonly message: string | undefined;
  /** How many captures there were in a row. */
  readonly inARow: number | undefined;
}

/** A capture.json is some hundred bytes, and two command lines. */
const longestRecord = 64 << 10;

/** Never throws: what cannot be read is not known. @param root "/" of the system */
export async function findFallback(root: string): Promise<Fallback | undefined> {
  const words = await readFile(join(root, 'proc/cmdline'), 'latin1').catch(() => '');
  const word = words.split(/\s+/).findLast((each) => each.startsWith(fallbackWord));
  const capture = word?.slice(fallbackWord.length) ?? '';
  // It becomes a path: what is no name of a capture is none of ours.
  if (!/^[A-Za-z0-9.+_-]+$/.test(capture)) return undefined;
  for (const place of await defaultPlaces(root)) {
    const folder = join(place, capture);
    const record = await readRecord(join(folder, 'capture.json'));
    if (record !== undefined) return { capture, folder, ...record };
  }
  return { capture, folder: undefined, release: undefined, message: undefined, inARow: undefined };
}

type Record = Pick<Fallback, 'release' | 'message' | 'inARow'>;

async function readRecord(path: string): Promise<Record | undefined> {
  try {
    // A link or a named pipe is no record: whoever may write there could lead us anywhere, or have us wait.
    const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    try {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(longestRecord), 0, longestRecord, 0);
      const value = JSON.parse(buffer.toString('utf8', 0, bytesRead)) as Partial<Record> & {
        primary?: { release?: unknown };
      };
      return {
        release: printable(value.primary?.release),
        message: printable(value.message),
        inARow: Number.isInteger(value.inARow) ? value.inARow : undefined,
      };
    } finally {
      await file.close();
    }
  } catch {
    return undefined;
  }
}

/** One line for a terminal: a dead kernel wrote it. */
function printable(value: unknown): string | undefined {
  return typeof value === 'string' ? value.replace(/[^ -~]/g, '?').slice(0, 200) : undefined;
}
