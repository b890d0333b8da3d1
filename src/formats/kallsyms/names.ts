/**
 * Names of kallsyms symbols. A name is a list of token numbers; its expansion is the symbol's type (one character,
 * as nm prints it) and its name.
 *
 * Source: kallsyms_expand_symbol() in kernel/kallsyms.c.
 */
import { TOKENS, type LocatedTables } from './locate.js';

const HASH_SEED = 0x811c9dc5;
const HASH_PRIME = 0x01000193;

export class SymbolNames {
  private readonly tables: LocatedTables;
  private readonly tokens: string[] = [];
  /** Offset of each token in the region; token t ends one byte (its NUL) before token t + 1. */
  private readonly tokenStarts = new Uint32Array(TOKENS + 1);
  /** Hash chains over all names, made at the first lookup: first symbol of each bucket, next symbol in it. */
  private buckets: { readonly heads: Int32Array; readonly next: Int32Array } | undefined;

  constructor(tables: LocatedTables) {
    this.tables = tables;
    const { bytes } = tables.region;
    const index = new DataView(bytes.buffer, bytes.byteOffset + tables.tokenIndex, TOKENS * 2);
    const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    for (let token = 0; token < TOKENS; token++) {
      const start = tables.tokenTable + index.getUint16(token * 2, true);
      const end = bytes.indexOf(0, start);
      this.tokenStarts[token] = start;
      this.tokenStarts[token + 1] = end + 1;
      this.tokens.push(buffer.toString('latin1', start, end));
    }
  }

  /** Type character and name. */
  expand(symbol: number): string {
    const { region, nameStarts, nameLengths } = this.tables;
    const start = nameStarts[symbol] ?? 0;
    const end = start + (nameLengths[symbol] ?? 0);
    let text = '';
    for (let at = start; at < end; at++) text += this.tokens[region.bytes[at] ?? 0] ?? '';
    return text;
  }

  /** Symbols of this name, in table order. */
  find(name: string): number[] {
    const { heads, next } = (this.buckets ??= this.buildBuckets());
    let hash = HASH_SEED;
    for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), HASH_PRIME);
    const found: number[] = [];
    let symbol = heads[hash & (heads.length - 1)] ?? -1;
    while (symbol >= 0) {
      if (this.expand(symbol).slice(1) === name) found.push(symbol);
      symbol = next[symbol] ?? -1;
    }
    return found;
  }

  /** Hashes bytes straight from the token table: making 150000 strings would take ten times as long. */
  private buildBuckets(): { heads: Int32Array; next: Int32Array } {
    const { region, count, nameStarts, nameLengths } = this.tables;
    const { bytes } = region;
    const { tokenStarts } = this;
    let size = 1024;
    while (size < count) size *= 2;
    const heads = new Int32Array(size).fill(-1);
    const next = new Int32Array(count).fill(-1);
    for (let symbol = count - 1; symbol >= 0; symbol--) {
      const start = nameStarts[symbol] ?? 0;
      const end = start + (nameLengths[symbol] ?? 0);
      let hash = HASH_SEED;
      let skip = 1; // the type character
      for (let at = start; at < end; at++) {
        const token = bytes[at] ?? 0;
        const tokenEnd = (tokenStarts[token + 1] ?? 0) - 1;
        for (let i = (tokenStarts[token] ?? 0) + skip; i < tokenEnd; i++) {
          hash = Math.imul(hash ^ (bytes[i] ?? 0), HASH_PRIME);
        }
        // An empty first token (a damaged table) would leave the type in the next one; names then just miss.
        skip = 0;
      }
      const bucket = hash & (size - 1);
      next[symbol] = heads[bucket] ?? -1;
      heads[bucket] = symbol;
    }
    return { heads, next };
  }
}
