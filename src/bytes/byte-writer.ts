/** Little-endian writes into a buffer that was sized first; a write outside it is a bug and throws. */
import { SaveoopsError } from '../errors.js';

/** A value alone. @param size 2, 4 or 8 bytes. Throws `invariant` for a value that does not fit. */
export function littleEndian(value: bigint | number, size: 2 | 4 | 8): Uint8Array {
  const writer = ByteWriter.ofSize(size);
  if (size === 8) writer.u64(0, value);
  else if (size === 4) writer.u32(0, Number(value));
  else writer.u16(0, Number(value));
  return writer.bytes;
}

export class ByteWriter {
  readonly bytes: Uint8Array;
  private readonly data: DataView;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.data = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  static ofSize(size: number): ByteWriter {
    return new ByteWriter(new Uint8Array(size));
  }

  u8(at: number, value: number): void {
    this.checkValue(at, value, 1);
    this.data.setUint8(at, value);
  }

  u16(at: number, value: number): void {
    this.checkValue(at, value, 2);
    this.data.setUint16(at, value, true);
  }

  u32(at: number, value: number): void {
    this.checkValue(at, value, 4);
    this.data.setUint32(at, value, true);
  }

  u64(at: number, value: bigint | number): void {
    const wide = BigInt(value);
    if (wide < 0n || wide > 0xffffffffffffffffn) this.refuse(at, String(value), 8);
    this.checkPlace(at, 8);
    this.data.setBigUint64(at, wide, true);
  }

  put(at: number, bytes: Uint8Array): void {
    this.checkPlace(at, bytes.length);
    this.bytes.set(bytes, at);
  }

  private checkValue(at: number, value: number, size: number): void {
    if (!Number.isInteger(value) || value < 0 || value > 2 ** (8 * size) - 1)
      this.refuse(at, String(value), size);
    this.checkPlace(at, size);
  }

  private checkPlace(at: number, size: number): void {
    if (at < 0 || at + size > this.bytes.length) this.refuse(at, `${size} bytes`, size);
  }

  private refuse(at: number, found: string, size: number): never {
    throw new SaveoopsError('invariant', 'a value does not fit the place it is written to', {
      where: `offset ${at} of ${this.bytes.length} bytes`,
      found,
      wanted: `an unsigned integer of ${size} bytes inside the buffer`,
    });
  }
}
