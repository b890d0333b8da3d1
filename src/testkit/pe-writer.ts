/** Writes small PE32+ images for tests; with a bzImage below it, what a kernel with an EFI stub looks like. */
import { ByteWriter } from '../bytes/byte-writer.js';
import { PE_SECTION_SIZE, peOptional, type PeSection } from '../formats/pe/parse-pe.js';

export interface PeParts {
  /** Offset of "PE\0\0"; 0x82 in kernels before 6.7. */
  readonly headerAt: number;
  readonly entry: number;
  readonly sizeOfImage: number;
  readonly sectionAlignment?: number;
  readonly fileAlignment?: number;
  readonly sizeOfHeaders?: number;
  readonly sections: readonly PeSection[];
}

/** Puts the headers into `bytes`, over what is there. */
export function writePeHeaders(bytes: Uint8Array, parts: PeParts): void {
  const writer = new ByteWriter(bytes);
  const { headerAt } = parts;
  const optionalAt = headerAt + 24;
  const directories = 6;
  const optionalSize = 112 + 8 * directories;
  writer.put(0, Buffer.from('MZ'));
  writer.u32(0x3c, headerAt);
  writer.put(headerAt, Buffer.from('PE\0\0'));
  writer.u16(headerAt + 4, 0x8664);
  writer.u16(headerAt + 6, parts.sections.length);
  writer.u16(headerAt + 20, optionalSize);
  writer.u16(optionalAt, 0x20b);
  writer.u32(optionalAt + peOptional.entry, parts.entry);
  writer.u32(optionalAt + 32, parts.sectionAlignment ?? 0x1000);
  writer.u32(optionalAt + 36, parts.fileAlignment ?? 0x200);
  writer.u32(optionalAt + peOptional.sizeOfImage, parts.sizeOfImage);
  writer.u32(optionalAt + 60, parts.sizeOfHeaders ?? 0x200);
  writer.u32(optionalAt + peOptional.checksum, 0x1234);
  writer.u32(optionalAt + 108, directories);
  writer.u32(optionalAt + peOptional.certificates, bytes.length);
  writer.u32(optionalAt + peOptional.certificates + 4, 0x100);
  parts.sections.forEach((section, index) => {
    const at = optionalAt + optionalSize + index * PE_SECTION_SIZE;
    writer.put(at, Buffer.from(section.name, 'latin1'));
    writer.u32(at + 8, section.virtualSize);
    writer.u32(at + 12, section.virtualAddress);
    writer.u32(at + 16, section.rawSize);
    writer.u32(at + 20, section.rawOffset);
    writer.u32(at + 36, section.characteristics);
  });
}

/** A file of `size` bytes: `.text` from 0x200 to its end, and `more` names without bytes of their own. */
export function writePe(size: number, headerAt = 0x40, more: readonly string[] = []): Uint8Array {
  const bytes = new Uint8Array(size);
  const sections = [
    { name: '.text', virtualSize: size - 0x200, virtualAddress: 0x200, rawSize: size - 0x200 },
    ...more.map((name, index) => ({
      name,
      virtualSize: 0x10,
      virtualAddress: size + 0x10 * index,
      rawSize: 0,
    })),
  ].map((section) => ({ ...section, rawOffset: 0x200, characteristics: 0x60000020 }));
  writePeHeaders(bytes, {
    headerAt,
    entry: 0x240,
    sizeOfImage: size + 0x10 * more.length,
    sectionAlignment: 0x10,
    fileAlignment: 0x10,
    sections,
  });
  return bytes;
}
