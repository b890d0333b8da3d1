/** Seeded damage for parser tests: the same seed gives the same bytes on every machine. */
import { SaveoopsError } from '../errors.js';

/** A small generator of uniform integers (mulberry32); not for cryptography. */
export class SeededRandom {
  private state: number;

  constructor(seed: number) {
    this.state = seed >>> 0;
  }

  /** An integer in [0, limit). */
  below(limit: number): number {
    this.state = (this.state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(this.state ^ (this.state >>> 15), this.state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 0x100000000) * limit);
  }
}

/** Values that break careless parsers: limits of integer types, and small counts. */
const nasty = [
  0, 1, 2, 3, 4, 7, 8, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff,
];

/**
 * A damaged copy: cut off, or with one to four changes of bytes, words or runs.
 * @param hot half of the changes fall below this offset, where headers are; default: anywhere
 */
export function mutate(bytes: Uint8Array, seed: number, hot = bytes.length): Uint8Array {
  const random = new SeededRandom(seed);
  // Not slice(): a Buffer's shares memory with the original.
  const copy = new Uint8Array(bytes);
  if (random.below(5) === 0) return copy.subarray(0, random.below(bytes.length));
  const data = new DataView(copy.buffer);
  for (let changes = 1 + random.below(4); changes > 0; changes--) {
    const at = random.below(random.below(2) === 0 ? Math.min(hot, copy.length) : copy.length);
    const value = nasty[random.below(nasty.length)] ?? 0;
    const kind = random.below(4);
    if (kind === 0) copy[at] = random.below(256);
    else if (kind === 1 && at + 4 <= copy.length) data.setUint32(at & ~3, value, true);
    else if (kind === 2 && at + 2 <= copy.length) data.setUint16(at & ~1, value & 0xffff, true);
    else copy.fill(value & 0xff, at, at + random.below(64));
  }
  return copy;
}

/**
 * Parses `count` damaged copies. A value is fine and a SaveoopsError is fine; any other error is thrown on, with
 * the seed that reproduces it.
 * @returns how many copies were refused
 */
export async function surviveMutations(
  bytes: Uint8Array,
  count: number,
  parse: (damaged: Uint8Array) => unknown,
  hot?: number,
): Promise<number> {
  let refused = 0;
  for (let seed = 1; seed <= count; seed++) {
    try {
      await parse(mutate(bytes, seed, hot));
    } catch (error) {
      if (!(error instanceof SaveoopsError))
        throw new Error(`seed ${seed}: ${String(error)}`, { cause: error });
      refused++;
    }
  }
  return refused;
}
