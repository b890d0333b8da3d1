/** Writes kallsyms tables for tests, in every encoding and in both orders that kernels have used. */
import { alignUp } from '../bytes/align.js';
import { ByteWriter } from '../bytes/byte-writer.js';
import type { AddressEncoding } from '../formats/kallsyms/addresses.js';

export interface WrittenSymbol {
  readonly name: string;
  readonly type: string;
  readonly address: bigint;
}

export interface KallsymsLayout {
  readonly encoding: AddressEncoding;
  /** Whether the addresses follow token_index (Linux 6.4 on) or precede num_syms. */
  readonly addressesLast: boolean;
  /** Alignment of every table: 8, or 4 in Linux 7.x. */
  readonly alignment: 4 | 8;
  /** Whether names of 128 tokens or more have two length bytes (Linux 6.1 on). */
  readonly bigNames: boolean;
}

/** Tokens of more than one character, numbered from 128; the characters of ASCII stand for themselves. */
const words = ['sys_', 'init', '__', 'symbol_', 'read', 'write'];

export interface WrittenKallsyms {
  readonly bytes: Uint8Array;
  /** Offset of each table in `bytes`. */
  readonly offsets: ReadonlyMap<string, number>;
}

/**
 * @param symbols ascending by address
 * @param address virtual address of the first byte
 * @param size bytes of the whole image; the tables start 0x100 bytes into it
 */
export function writeKallsyms(
  symbols: readonly WrittenSymbol[],
  layout: KallsymsLayout,
  address: bigint,
  size: number,
): WrittenKallsyms {
  const writer = ByteWriter.ofSize(size);
  // Not zero, so that nothing but the tables looks like their padding.
  writer.bytes.fill(0xcc);
  const offsets = new Map<string, number>();
  let at = 0x100;
  const label = (name: string, length: number): number => {
    const start = alignUp(at, layout.alignment);
    writer.bytes.fill(0, at, start);
    offsets.set(name, start);
    at = start + length;
    return start;
  };
  const base = symbols.find((symbol) => symbol.address >= address)?.address ?? address;
  const writeAddresses = (): void => {
    if (layout.encoding === 'absolute') {
      const start = label('kallsyms_addresses', symbols.length * 8);
      symbols.forEach((symbol, i) => {
        writer.u64(start + i * 8, symbol.address);
      });
      return;
    }
    const start = label('kallsyms_offsets', symbols.length * 4);
    symbols.forEach((symbol, i) => {
      const place = address + BigInt(start + i * 4);
      const offset = encodeOffset(symbol.address, layout.encoding, base, place);
      writer.u32(start + i * 4, Number(BigInt.asUintN(32, offset)));
    });
    if (layout.encoding !== 'place-relative') writer.u64(label('kallsyms_relative_base', 8), base);
  };

  if (!layout.addressesLast) writeAddresses();
  writer.u32(label('kallsyms_num_syms', 4), symbols.length);
  const names = symbols.map(({ type, name }) => compress(type + name, layout.bigNames));
  const markers: number[] = [];
  let length = 0;
  names.forEach((name, i) => {
    if (i % 256 === 0) markers.push(length);
    length += name.length;
  });
  writer.put(label('kallsyms_names', length), Buffer.concat(names));
  const markersAt = label('kallsyms_markers', markers.length * 4);
  markers.forEach((marker, i) => {
    writer.u32(markersAt + i * 4, marker);
  });
  const tokens = Array.from({ length: 256 }, (_, i) =>
    i >= 128 ? (words[i - 128] ?? '') : i > 32 ? String.fromCharCode(i) : '',
  );
  const tokenBytes = Buffer.from(`${tokens.join('\0')}\0`, 'latin1');
  writer.put(label('kallsyms_token_table', tokenBytes.length), tokenBytes);
  const indexAt = label('kallsyms_token_index', 512);
  let token = 0;
  tokens.forEach((text, i) => {
    writer.u16(indexAt + i * 2, token);
    token += text.length + 1;
  });
  if (layout.addressesLast) writeAddresses();
  return { bytes: writer.bytes, offsets };
}

function encodeOffset(address: bigint, encoding: AddressEncoding, base: bigint, place: bigint): bigint {
  if (encoding === 'place-relative') return address - place;
  if (encoding === 'base-relative') return address - base;
  return address < base ? address : base - address - 1n;
}

function compress(text: string, bigNames: boolean): Buffer {
  const tokens: number[] = [];
  for (let at = 0; at < text.length;) {
    const word = words.findIndex((each) => text.startsWith(each, at));
    tokens.push(word < 0 ? text.charCodeAt(at) : 128 + word);
    at += word < 0 ? 1 : (words[word]?.length ?? 1);
  }
  const { length } = tokens;
  const head = bigNames && length >= 128 ? [(length & 0x7f) | 0x80, length >> 7] : [length];
  return Buffer.from([...head, ...tokens]);
}
