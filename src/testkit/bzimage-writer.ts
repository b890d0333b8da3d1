/** Writes small bzImages for tests, right or wrong in any field of the setup header. */
import { ByteWriter } from '../bytes/byte-writer.js';
import {
  BOOT_FLAG,
  HDRS_MAGIC,
  LOADED_HIGH,
  XLF_KERNEL_64,
  setupHeaderFields,
  type SetupHeader,
} from '../formats/bzimage/setup-header.js';

export interface BzImageParts {
  /** Compressed kernel with its size word; placed 0x40 bytes into the protected-mode code. */
  readonly payload?: Uint8Array;
  /** The text at kernel_version. */
  readonly version?: string;
  /** Header fields that differ from a valid image's. */
  readonly fields?: Partial<SetupHeader>;
  /** Bytes after the protected-mode code, as signatures are. */
  readonly trailing?: number;
}

const PAYLOAD_OFFSET = 0x40;
const VERSION_OFFSET = 0x300;

export function writeBzImage(parts: BzImageParts = {}): Uint8Array {
  const payload = parts.payload ?? new Uint8Array(0x100).fill(0x5a);
  const setupSects = 4;
  const setupSize = (setupSects + 1) * 512;
  const paragraphs = Math.ceil((PAYLOAD_OFFSET + payload.length + 0x20) / 16);
  const fields: Partial<Record<keyof SetupHeader, number | bigint>> = {
    setup_sects: setupSects,
    syssize: paragraphs,
    boot_flag: BOOT_FLAG,
    jump: 0x6aeb,
    header: HDRS_MAGIC,
    version: 0x020f,
    kernel_version: VERSION_OFFSET - 0x200,
    loadflags: LOADED_HIGH,
    xloadflags: XLF_KERNEL_64,
    payload_offset: PAYLOAD_OFFSET,
    payload_length: payload.length,
    ...parts.fields,
  };
  const writer = ByteWriter.ofSize(setupSize + paragraphs * 16 + (parts.trailing ?? 0));
  for (const { name, offset, size } of setupHeaderFields) {
    const value = fields[name] ?? 0;
    if (size === 8) writer.u64(offset, value);
    else if (size === 4) writer.u32(offset, Number(value));
    else if (size === 2) writer.u16(offset, Number(value));
    else writer.u8(offset, Number(value));
  }
  writer.put(
    VERSION_OFFSET,
    Buffer.from(`${parts.version ?? '6.1.0-test (tester@host) #1 SMP'}\0`, 'latin1'),
  );
  writer.put(setupSize + PAYLOAD_OFFSET, payload);
  return writer.bytes;
}
