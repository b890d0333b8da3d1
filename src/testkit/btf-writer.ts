/** Writes small BTF blobs for tests. Type ids count from 1 in the order of the calls. */
import { ByteWriter } from '../bytes/byte-writer.js';
import {
  BTF_HEADER_SIZE,
  BTF_KIND_ARRAY,
  BTF_KIND_ENUM,
  BTF_KIND_ENUM64,
  BTF_KIND_INT,
  BTF_KIND_PTR,
  BTF_KIND_STRUCT,
  BTF_KIND_TYPEDEF,
  BTF_KIND_UNION,
  BTF_LAYOUT_HEADER_SIZE,
  BTF_MAGIC,
  BTF_VERSION,
} from '../formats/btf/btf-tables.js';

export interface MemberParts {
  readonly name: string;
  readonly type: number;
  /** Bits from the start of the struct. */
  readonly bits: number;
  /** Width in bits of a bit-field. */
  readonly width?: number;
}

export class BtfWriter {
  private readonly words: number[] = [];
  private readonly strings: Buffer[] = [Buffer.from('\0')];
  private stringsSize = 1;
  private lastId = 0;

  int(name: string, size: number): number {
    return this.add(name, BTF_KIND_INT, 0, size, [size * 8]);
  }

  pointer(type: number): number {
    return this.add('', BTF_KIND_PTR, 0, type, []);
  }

  array(type: number, length: number): number {
    return this.add('', BTF_KIND_ARRAY, 0, 0, [type, 0, length]);
  }

  typedef(name: string, type: number): number {
    return this.add(name, BTF_KIND_TYPEDEF, 0, type, []);
  }

  struct(name: string, size: number, members: readonly MemberParts[], kind = BTF_KIND_STRUCT): number {
    const bitFields = members.some(({ width }) => width !== undefined);
    const words = members.flatMap((member) => [
      this.text(member.name),
      member.type,
      (member.bits | ((member.width ?? 0) << 24)) >>> 0,
    ]);
    return this.add(name, kind, members.length, size, words, bitFields);
  }

  union(name: string, size: number, members: readonly MemberParts[]): number {
    return this.struct(name, size, members, BTF_KIND_UNION);
  }

  /** @param signed sets kind_flag, as producers do since Linux 6.0 */
  enum(name: string, values: Readonly<Record<string, number>>, signed = false): number {
    const words = Object.entries(values).flatMap(([each, value]) => [this.text(each), value >>> 0]);
    return this.add(name, BTF_KIND_ENUM, words.length / 2, 4, words, signed);
  }

  enum64(name: string, values: Readonly<Record<string, bigint>>, signed = false): number {
    const words = Object.entries(values).flatMap(([each, value]) => [
      this.text(each),
      Number(value & 0xffffffffn),
      Number((value >> 32n) & 0xffffffffn),
    ]);
    return this.add(name, BTF_KIND_ENUM64, words.length / 3, 8, words, signed);
  }

  /** A record of any kind; gives its type id. `words` follow the struct btf_type. */
  add(name: string, kind: number, vlen: number, sizeOrType: number, words: number[], flag = false): number {
    const info = ((flag ? 0x80000000 : 0) | (kind << 24) | vlen) >>> 0;
    this.words.push(this.text(name), info, sizeOrType);
    // Not spread into one call: a long enum would overflow the stack.
    for (const word of words) this.words.push(word);
    return ++this.lastId;
  }

  /** @param layouts info_sz and elem_sz by kind; given, the header is the longer one of newer BTF */
  finish(layouts?: readonly (readonly [number, number])[]): Uint8Array {
    const headerSize = layouts === undefined ? BTF_HEADER_SIZE : BTF_LAYOUT_HEADER_SIZE;
    const layoutSize = (layouts?.length ?? 0) * 4;
    const typesSize = this.words.length * 4;
    const writer = ByteWriter.ofSize(headerSize + layoutSize + typesSize + this.stringsSize);
    writer.u16(0, BTF_MAGIC);
    writer.u8(2, BTF_VERSION);
    writer.u32(4, headerSize);
    writer.u32(8, layoutSize);
    writer.u32(12, typesSize);
    writer.u32(16, layoutSize + typesSize);
    writer.u32(20, this.stringsSize);
    if (layouts !== undefined) {
      writer.u32(24, 0);
      writer.u32(28, layoutSize);
    }
    layouts?.forEach(([info, element], kind) => {
      writer.put(headerSize + kind * 4, Uint8Array.of(info, element));
    });
    this.words.forEach((word, i) => {
      writer.u32(headerSize + layoutSize + i * 4, word);
    });
    writer.put(headerSize + layoutSize + typesSize, Buffer.concat(this.strings));
    return writer.bytes;
  }

  private text(value: string): number {
    if (value === '') return 0;
    const at = this.stringsSize;
    const bytes = Buffer.from(`${value}\0`, 'latin1');
    this.strings.push(bytes);
    this.stringsSize += bytes.length;
    return at;
  }
}
