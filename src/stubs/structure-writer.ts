/** Fills a shared structure (shared-layout.ts) field by field; each field once, each name checked. */
import { ByteWriter } from '../bytes/byte-writer.js';
import { layoutOf, offsetOf, structSize, type StructDef } from './shared-layout.js';
import { xxh32 } from '../bytes/digests.js';

export class StructureWriter {
  readonly bytes: Uint8Array;
  private readonly def: StructDef;
  private readonly writer: ByteWriter;

  constructor(def: StructDef) {
    this.def = def;
    this.writer = ByteWriter.ofSize(structSize(def));
    this.bytes = this.writer.bytes;
  }

  /** A copy of a structure that was written before. Throws `invariant` for one of another size. */
  static of(def: StructDef, bytes: Uint8Array): StructureWriter {
    const copy = new StructureWriter(def);
    copy.writer.put(0, bytes);
    return copy;
  }

  /** A u32 or u64 field; `index` for arrays of u64. Throws `invariant` for a value that does not fit. */
  set(name: string, value: number | bigint, index = 0): void {
    const { offset, size } = this.field(name);
    if (size === 4) this.writer.u32(offset, Number(value));
    else this.writer.u64(offset + 8 * index, value);
  }

  /** Bytes of a field or of one element of an array of structures. */
  put(name: string, bytes: Uint8Array, index = 0): void {
    this.writer.put(this.field(name).offset + index * bytes.length, bytes);
  }

  /** Sets the field `xxh32` to the sum of the structure with that field zero, and gives the bytes. */
  seal(): Uint8Array {
    this.set('xxh32', 0);
    this.set('xxh32', xxh32(this.bytes));
    return this.bytes;
  }

  private field(name: string): { offset: number; size: number } {
    const field = layoutOf(this.def).find((each) => each.name === name);
    if (field === undefined) throw new RangeError(`struct ${this.def.name} has no field ${name}`);
    return field;
  }
}

/** XXH32 of a structure with its own field for the sum zero. */
export function sumOf(structure: Uint8Array, def: StructDef): number {
  const copy = Uint8Array.from(structure);
  new DataView(copy.buffer).setUint32(offsetOf(def, 'xxh32'), 0, true);
  return xxh32(copy);
}
