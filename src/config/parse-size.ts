/** Sizes as people type them, for every option that takes one. */
import { SaveoopsError } from '../errors.js';

const factors = { '': 1, K: 1 << 10, M: 1 << 20, G: 1 << 30 } as const;

export interface SizeOption {
  /** "--crash-size", for the error. */
  readonly option: string;
  /** Unit of a number without one. */
  readonly bare: keyof typeof factors;
  /** Bytes, both included. */
  readonly least: number;
  readonly most: number;
  /** The same for a person, with an example. */
  readonly wanted: string;
}

/** "160M", "1G", "167772160": bytes. Throws `usage`, with the text as it was typed. */
export function parseSize(text: string, { option, bare, least, most, wanted }: SizeOption): number {
  const match = /^([0-9]+)([KMG]?)$/i.exec(text.trim());
  const unit = (match?.[2] ?? '').toUpperCase() as keyof typeof factors;
  const size = Number(match?.[1]) * factors[unit === '' ? bare : unit];
  if (Number.isSafeInteger(size) && size >= least && size <= most) return size;
  throw new SaveoopsError('usage', 'not a size', {
    where: option,
    found: JSON.stringify(text),
    wanted,
  });
}

/** --crash-size, bytes. Throws `usage`. */
export function parseCrashSize(text: string): number {
  return parseSize(text, {
    option: '--crash-size',
    bare: '',
    least: 1,
    most: 2 ** 32 - 1,
    wanted: 'a number of bytes below 4 GiB with an optional K, M or G: 160M',
  });
}

/** RAM of a machine in QEMU, which takes whole MiB: `saveoops test --memory`. Gives MiB. Throws `usage`. */
export function parseMachineMemory(text: string): number {
  const MiB = factors.M;
  const size = parseSize(text, {
    option: '--memory',
    bare: 'M',
    least: 128 * MiB,
    most: 2 ** 40,
    wanted: 'a whole number of MiB from 128 to 1048576 with an optional K, M or G: 1536M',
  });
  return Math.floor(size / MiB);
}
