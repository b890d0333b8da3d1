/**
 * The one place that slices input bytes. Every read is checked against the view, and every failure names the
 * source file, the structure, the field and the offset, so that a truncated or hostile file ends in a
 * SaveoopsError and never in a RangeError or a silently short value.
 *
 * All integers are little-endian: every format Saveoops reads (bzImage, ELF64 for x86-64, kallsyms, BTF) is.
 */
import { SaveoopsError } from '../errors.js';

export class ByteView {
  readonly bytes: Uint8Array;
  /** Names the file or part for error messages. */
  readonly source: string;
  /** Offset of `bytes[0]` in the source, in bytes: errors speak of source offsets. */
  readonly base: number;
  private readonly data: DataView;

  constructor(bytes: Uint8Array, source: string, base = 0) {
    this.bytes = bytes;
    this.source = source;
    this.base = base;
    this.data = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get length(): number {
    return this.bytes.length;
  }

  /** Throws `truncated` unless [at, at + size) lies inside the view. */
  check(at: number, size: number, what: string): void {
    const inside =
      Number.isSafeInteger(at) &&
      Number.isSafeInteger(size) &&
      at >= 0 &&
      size >= 0 &&
      at + size <= this.length;
    if (inside) return;
    throw new SaveoopsError('truncated', `${what} reaches outside ${this.source}`, {
      where: `${this.source}, offset 0x${(this.base + at).toString(16)}`,
      found: `${Math.max(0, this.length - at)} bytes left of ${this.length}`,
      wanted: `${size} bytes for ${what}`,
      hint: 'the file may be cut off or damaged: compare its size and digest with the original',
    });
  }

  u8(at: number, what: string): number {
    this.check(at, 1, what);
    return this.data.getUint8(at);
  }

  u16(at: number, what: string): number {
    this.check(at, 2, what);
    return this.data.getUint16(at, true);
  }

  u32(at: number, what: string): number {
    this.check(at, 4, what);
    return this.data.getUint32(at, true);
  }

  i32(at: number, what: string): number {
    this.check(at, 4, what);
    return this.data.getInt32(at, true);
  }

  u64(at: number, what: string): bigint {
    this.check(at, 8, what);
    return this.data.getBigUint64(at, true);
  }

  /** A 64-bit offset or size that must be usable as a JavaScript number. */
  size64(at: number, what: string): number {
    const value = this.u64(at, what);
    if (value <= BigInt(Number.MAX_SAFE_INTEGER)) return Number(value);
    throw new SaveoopsError('format', `${what} is impossibly large`, {
      where: `${this.source}, offset 0x${(this.base + at).toString(16)}`,
      found: `0x${value.toString(16)}`,
      wanted: 'an offset or size below 2^53',
    });
  }

  /** A view on [at, at + size); shares memory with this one. */
  slice(at: number, size: number, what: string): ByteView {
    this.check(at, size, what);
    return new ByteView(this.bytes.subarray(at, at + size), `${this.source}: ${what}`, 0);
  }

  /** A NUL-terminated string of Latin-1 bytes, at most `limit` bytes long. */
  cString(at: number, what: string, limit = 4096): string {
    this.check(at, 1, what);
    const end = this.bytes.indexOf(0, at);
    if (end < 0 || end - at > limit) {
      throw new SaveoopsError('format', `${what} has no end`, {
        where: `${this.source}, offset 0x${(this.base + at).toString(16)}`,
        found: end < 0 ? 'no NUL byte before the end of the data' : `a NUL byte ${end - at} bytes on`,
        wanted: `a NUL-terminated string of at most ${limit} bytes`,
      });
    }
    return Buffer.from(this.bytes.subarray(at, end)).toString('latin1');
  }
}
