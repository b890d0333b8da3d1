/**
 * The addresses of kallsyms symbols, in the four encodings that kernels have used. Which one a kernel uses is not
 * written anywhere; each is tried, and the right one gives ascending addresses (the table is sorted) that lie
 * within the kernel.
 *
 * Source: kallsyms_sym_address() in kernel/kallsyms.c and write_src() in scripts/kallsyms.c; see docs/formats.md.
 */
import { alignUp } from '../../bytes/align.js';
import { TOKEN_INDEX_SIZE, type LocatedTables } from './locate.js';

/** An address range, half-open. */
export interface AddressRange {
  readonly start: bigint;
  readonly end: bigint;
}

export type AddressEncoding =
  'absolute' | 'base-relative' | 'base-relative-absolute-percpu' | 'place-relative';

export interface DecodedAddresses {
  readonly encoding: AddressEncoding;
  /** Ascending; two u32 a symbol, low word first. */
  readonly words: Uint32Array;
  /** Offset into the region of kallsyms_offsets or, for 'absolute', of kallsyms_addresses. */
  readonly table: number;
  /** Offset into the region of kallsyms_relative_base where the kernel has one. */
  readonly relativeBase: number | undefined;
}

interface Candidate {
  readonly encoding: AddressEncoding;
  readonly table: number;
  readonly relativeBase?: number;
}

/** The addresses of the located symbols, or undefined when no encoding fits. */
export function decodeAddresses(
  located: LocatedTables,
  kernel: readonly AddressRange[],
): DecodedAddresses | undefined {
  for (const candidate of candidatesFor(located)) {
    const words = decode(located, candidate);
    if (words === undefined || !isAscending(words) || !isMostlyInside(words, kernel)) continue;
    return {
      encoding: candidate.encoding,
      words,
      table: candidate.table,
      relativeBase: candidate.relativeBase,
    };
  }
  return undefined;
}

function candidatesFor({ numSyms, tokenIndex, count }: LocatedTables): Candidate[] {
  const candidates: Candidate[] = [];
  const offsetsSize = alignUp(count * 4, 8);
  const add = (encoding: AddressEncoding, table: number, relativeBase?: number): void => {
    candidates.push({ encoding, table, ...(relativeBase === undefined ? {} : { relativeBase }) });
  };
  // Linux commit 2213e9a66bb8 ("kallsyms: add support for relative offsets in kallsyms address table", v4.6): u32
  // offsets and one base. With CONFIG_KALLSYMS_ABSOLUTE_PERCPU (x86-64 SMP) a positive offset is an absolute address,
  // that is one of the percpu section at 0, and a negative one counts down from the base. Linux commit 01157ddc58dc
  // ("kallsyms: Remove KALLSYMS_ABSOLUTE_PERCPU", v6.15) ended that.
  const relative = (table: number, relativeBase: number): void => {
    add('base-relative-absolute-percpu', table, relativeBase);
    add('base-relative', table, relativeBase);
  };
  // Up to v6.3 the addresses come first, right before num_syms.
  const base = numSyms - 8;
  relative(base - offsetsSize, base);
  add('absolute', numSyms - count * 8);
  // Linux commit 404bad70fcf7 ("scripts/kallsyms: change the output order", v6.4) moved them behind token_index.
  const after = tokenIndex + TOKEN_INDEX_SIZE;
  for (const table of new Set([after, alignUp(after, 8)])) {
    relative(table, table + offsetsSize);
    // Linux commit a081b5789255 ("kallsyms: Get rid of kallsyms relative base", v7.0): each offset is relative to
    // its own place. Tables are aligned to 4 bytes since.
    add('place-relative', table);
    add('absolute', table);
  }
  return candidates;
}

function decode(located: LocatedTables, candidate: Candidate): Uint32Array | undefined {
  const { region, count } = located;
  const { bytes } = region;
  const { encoding, table, relativeBase } = candidate;
  const size = encoding === 'absolute' ? count * 8 : count * 4;
  const aligned = table % (encoding === 'absolute' ? 8 : 4) === 0;
  if (table < 0 || table + size > bytes.length || !aligned) return undefined;
  if (relativeBase !== undefined && (relativeBase < 0 || relativeBase + 8 > bytes.length)) return undefined;

  if (encoding === 'absolute') {
    return new Uint32Array(bytes.buffer, bytes.byteOffset + table, count * 2).slice();
  }
  const data = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const origin = relativeBase === undefined ? region.address : data.getBigUint64(relativeBase, true);
  const low = Number(origin & 0xffffffffn);
  const high = Number(origin >> 32n);
  const offsets = new Int32Array(bytes.buffer, bytes.byteOffset + table, count);
  const words = new Uint32Array(count * 2);
  for (let i = 0; i < count; i++) {
    const offset = offsets[i] ?? 0;
    let sum: number;
    let carryInto = high;
    if (encoding === 'place-relative') {
      sum = low + table + i * 4 + offset;
    } else if (encoding === 'base-relative') {
      sum = low + (offset >>> 0);
    } else if (offset >= 0) {
      sum = offset;
      carryInto = 0;
    } else {
      sum = low - 1 - offset;
    }
    // Sums stay within a few times 2^32, so doubles hold them exactly.
    const carry = Math.floor(sum / 0x100000000);
    words[i * 2] = sum - carry * 0x100000000;
    words[i * 2 + 1] = carryInto + carry;
  }
  return words;
}

function isAscending(words: Uint32Array): boolean {
  for (let i = 2; i < words.length; i += 2) {
    const high = words[i + 1] ?? 0;
    const previousHigh = words[i - 1] ?? 0;
    if (high < previousHigh) return false;
    if (high === previousHigh && (words[i] ?? 0) < (words[i - 2] ?? 0)) return false;
  }
  return true;
}

/** Percpu symbols and a few markers at the ends lie outside; most lie inside. */
function isMostlyInside(words: Uint32Array, kernel: readonly AddressRange[]): boolean {
  const count = words.length / 2;
  let inside = 0;
  for (const { start, end } of kernel) {
    inside += lowerBound(words, end) - lowerBound(words, start);
  }
  return inside * 2 > count;
}

/** Index of the first symbol at or above `address`; `words` must be ascending. */
export function lowerBound(words: Uint32Array, address: bigint): number {
  const clamped = address < 0n ? 0n : address;
  if (clamped >> 64n !== 0n) return words.length / 2;
  const high = Number(clamped >> 32n);
  const low = Number(clamped & 0xffffffffn);
  let from = 0;
  let to = words.length / 2;
  while (from < to) {
    const middle = (from + to) >> 1;
    const middleHigh = words[middle * 2 + 1] ?? 0;
    const below = middleHigh < high || (middleHigh === high && (words[middle * 2] ?? 0) < low);
    if (below) from = middle + 1;
    else to = middle;
  }
  return from;
}
