/**
 * Finds the kallsyms tables in the read-only data of a vmlinux. No symbol table names them, not even kallsyms
 * itself, so they are recognised by structure, and each find is proven by the table next to it:
 *
 *   token_index   256 ascending u16, the first 0: offsets of 256 NUL-terminated tokens in
 *   token_table   which ends where token_index begins;
 *   markers       u32 offset into names of every 256th symbol, somewhere before token_table;
 *   names         per symbol a length and that many token numbers; the walk must hit every marker;
 *   num_syms      a u32 right before names.
 *
 * Source: scripts/kallsyms.c (write_src) and kernel/kallsyms.c. The order of these five never changed; only what
 * surrounds them did, see addresses.ts.
 */
import { alignUp } from '../../bytes/align.js';

/** A stretch of the kernel's memory image whose `bytes` start at a multiple of 8, in memory and in address. */
export interface Region {
  /** Virtual address of bytes[0]. */
  readonly address: bigint;
  readonly bytes: Uint8Array;
}

/** Offsets into the region, in bytes. */
export interface LocatedTables {
  readonly region: Region;
  readonly numSyms: number;
  readonly names: number;
  readonly markers: number;
  readonly tokenTable: number;
  readonly tokenIndex: number;
  /** Number of symbols. */
  readonly count: number;
  /** Start of each symbol's token numbers in the region; their number is in `nameLengths`. */
  readonly nameStarts: Uint32Array;
  readonly nameLengths: Uint16Array;
}

export const TOKENS = 256;
export const TOKEN_INDEX_SIZE = TOKENS * 2;
const MARKER_EVERY = 256;
/** Longest token or compressed name accepted, in bytes; KSYM_NAME_LEN is 512 since Linux 6.1 and was 128 before. */
const LONGEST_NAME = 1024;
/** Bounds the work on hostile input: a real kernel needs one attempt, rarely two. */
const MAX_ATTEMPTS = 64;
const MAX_WALKS = 1000;

/** The kallsyms tables of the region, or undefined. Fewer than 257 symbols (two markers) are not found. */
export function locateTables(region: Region): LocatedTables | undefined {
  const { bytes } = region;
  const shorts = new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.length >> 1);
  let attempts = 0;
  // Tables are aligned to 8 bytes (ALGN in scripts/kallsyms.c) or 4 in newer kernels: two shorts.
  for (let i = 0; i + TOKENS <= shorts.length; i += 2) {
    if (shorts[i] !== 0 || !isTokenIndex(shorts, i)) continue;
    const tokenIndex = i * 2;
    const tokenTable = findTokenTable(bytes, shorts, i);
    if (tokenTable === undefined) continue;
    const found = locateNames(region, tokenTable, tokenIndex);
    if (found !== undefined) return found;
    if (++attempts >= MAX_ATTEMPTS) return undefined;
  }
  return undefined;
}

function isTokenIndex(shorts: Uint16Array, at: number): boolean {
  let previous = 0;
  for (let i = 1; i < TOKENS; i++) {
    const value = shorts[at + i] ?? 0;
    // At least one NUL lies between two tokens; unused tokens are empty strings.
    if (value <= previous || value - previous > LONGEST_NAME) return false;
    previous = value;
  }
  return true;
}

/** token_table ends, but for alignment, where token_index begins. */
function findTokenTable(bytes: Uint8Array, shorts: Uint16Array, index: number): number | undefined {
  const end = index * 2;
  const last = shorts[index + TOKENS - 1] ?? 0;
  const highest = (end - last - 1) & ~3;
  for (let at = highest; at >= 0 && at >= highest - LONGEST_NAME - 8; at -= 4) {
    if (isTokenTable(bytes, shorts, index, at, end)) return at;
  }
  return undefined;
}

function isTokenTable(
  bytes: Uint8Array,
  shorts: Uint16Array,
  index: number,
  at: number,
  end: number,
): boolean {
  for (let i = 1; i < TOKENS; i++) {
    const start = at + (shorts[index + i] ?? 0);
    const previous = at + (shorts[index + i - 1] ?? 0);
    // Exactly one NUL between two starts: the one that ends the earlier token.
    if (bytes.indexOf(0, previous) !== start - 1) return false;
  }
  const lastEnd = bytes.indexOf(0, at + (shorts[index + TOKENS - 1] ?? 0));
  // Only alignment may follow, and it is less than 8 bytes of zero.
  if (lastEnd < 0 || lastEnd >= end || end - lastEnd > 8) return false;
  for (let i = lastEnd; i < end; i++) if (bytes[i] !== 0) return false;
  return true;
}

function locateNames(region: Region, tokenTable: number, tokenIndex: number): LocatedTables | undefined {
  const { bytes } = region;
  const words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length >> 2);
  let attempts = 0;
  // Backwards: up to Linux 6.3 kallsyms_seqs_of_names (3 bytes a symbol) may lie between markers and token_table.
  for (let i = (tokenTable >> 2) - 2; i >= 0; i--) {
    if (words[i] !== 0) continue;
    const run = markerRun(words, i, tokenTable >> 2);
    if (run < 2) continue;
    const found = namesBefore(bytes, words, i, run);
    if (found !== undefined) return { region, tokenTable, tokenIndex, markers: i * 4, ...found };
    if (++attempts >= MAX_ATTEMPTS) return undefined;
  }
  return undefined;
}

/** How many words from `at` could be markers. */
function markerRun(words: Uint32Array, at: number, end: number): number {
  let run = 1;
  let previous = 0;
  while (at + run < end) {
    const value = words[at + run] ?? 0;
    // A symbol takes two bytes or more: a length and a type.
    const step = value - previous;
    if (step < 2 * MARKER_EVERY || step > MARKER_EVERY * LONGEST_NAME) break;
    previous = value;
    run++;
  }
  return run;
}

type Names = Pick<LocatedTables, 'numSyms' | 'names' | 'count' | 'nameStarts' | 'nameLengths'>;

/** The names that end at the markers at word `at`: looked for by a fitting symbol count right before them. */
function namesBefore(bytes: Uint8Array, words: Uint32Array, at: number, run: number): Names | undefined {
  let walks = 0;
  // What follows the markers may look like one or two more of them by chance.
  for (let markers = run; markers >= Math.max(2, run - 2); markers--) {
    const last = words[at + markers - 1] ?? 0;
    const highest = (at * 4 - last - 2) >> 2;
    const lowest = Math.max(2, highest - (MARKER_EVERY * LONGEST_NAME) / 4);
    for (let start = highest; start >= lowest; start--) {
      // num_syms is a u32 aligned to 8, so that zero padding follows it, or, where tables are aligned to 4, none.
      const padded = words[start - 1] === 0;
      const count = words[padded ? start - 2 : start - 1] ?? 0;
      if (Math.ceil(count / MARKER_EVERY) !== markers) continue;
      if (++walks > MAX_WALKS) return undefined;
      const walked =
        walkNames(bytes, words, start * 4, count, at, true) ??
        walkNames(bytes, words, start * 4, count, at, false);
      if (walked === undefined) continue;
      return { numSyms: (padded ? start - 2 : start - 1) * 4, names: start * 4, count, ...walked };
    }
  }
  return undefined;
}

/**
 * Walks all names and compares with every marker.
 * @param big whether a length byte of 128 or more starts a two-byte length: Linux commit 73bbb94466fd ("kallsyms:
 *   support "big" kernel symbols", v6.1). Before it such a byte was the length itself. Only the markers can tell.
 */
function walkNames(
  bytes: Uint8Array,
  words: Uint32Array,
  names: number,
  count: number,
  markersAt: number,
  big: boolean,
): Pick<LocatedTables, 'nameStarts' | 'nameLengths'> | undefined {
  const end = markersAt * 4;
  // The first block decides nearly always; no arrays are made for a wrong guess.
  let at = names;
  for (let i = 0; i < MARKER_EVERY && at < end; i++) {
    const first = bytes[at] ?? 0;
    at += big && first >= 0x80 ? ((first & 0x7f) | ((bytes[at + 1] ?? 0) << 7)) + 2 : first + 1;
  }
  if (at - names !== words[markersAt + 1]) return undefined;

  const nameStarts = new Uint32Array(count);
  const nameLengths = new Uint16Array(count);
  at = names;
  for (let i = 0; i < count; i++) {
    if (i % MARKER_EVERY === 0 && words[markersAt + i / MARKER_EVERY] !== at - names) return undefined;
    let length = bytes[at++] ?? 0;
    if (big && length >= 0x80) length = (length & 0x7f) | ((bytes[at++] ?? 0) << 7);
    if (length === 0 || at + length > end) return undefined;
    nameStarts[i] = at;
    nameLengths[i] = length;
    at += length;
  }
  return alignUp(at, 8) === end || alignUp(at, 4) === end ? { nameStarts, nameLengths } : undefined;
}
