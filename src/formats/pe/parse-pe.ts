/**
 * A PE32+ image as UEFI loads it: headers, section table, and nothing of what EFI applications do not have.
 *
 *   0x00            "MZ"; u32 at 0x3c: offset of the PE header
 *   PE header       "PE\0\0", COFF header (20 bytes), optional header (112 bytes and its data directories)
 *   section table   40 bytes for each section
 *
 * Source: Microsoft's PE format specification, "COFF File Header", "Optional Header", "Section Table"; UEFI 2.10,
 * section 2.1.1. A Linux bzImage with an EFI stub is such a file (arch/x86/boot/header.S).
 */
import { ByteView } from '../../bytes/byte-reader.js';
import { SaveoopsError } from '../../errors.js';

export interface PeSection {
  readonly name: string;
  /** Bytes in memory and where, from the image's start. */
  readonly virtualSize: number;
  readonly virtualAddress: number;
  /** Bytes in the file and where. */
  readonly rawSize: number;
  readonly rawOffset: number;
  /** IMAGE_SCN_* */
  readonly characteristics: number;
}

export interface PeImage {
  readonly source: string;
  /** File offsets of "PE\0\0", of the optional header, of the section table and of its end. */
  readonly headerAt: number;
  readonly optionalAt: number;
  readonly tableAt: number;
  readonly tableEnd: number;
  readonly sizeOfCode: number;
  readonly sizeOfInitializedData: number;
  /** AddressOfEntryPoint, from the image's start. */
  readonly entry: number;
  readonly sectionAlignment: number;
  readonly fileAlignment: number;
  /** Bytes of memory. */
  readonly sizeOfImage: number;
  /** Leading bytes of the file that are loaded as they are. */
  readonly sizeOfHeaders: number;
  /** How many data directories follow the optional header. */
  readonly directories: number;
  readonly sections: readonly PeSection[];
}

/** Offsets in the optional header, bytes. */
export const peOptional = {
  sizeOfCode: 4,
  sizeOfInitializedData: 8,
  entry: 16,
  sizeOfImage: 56,
  checksum: 64,
  /** The fifth data directory: a file offset and a size, of the certificates that sign the file. */
  certificates: 112 + 8 * 4,
} as const;

/** Offset of NumberOfSections from "PE\0\0", bytes. */
export const peSectionCount = 6;
export const PE_SECTION_SIZE = 40;

// Section characteristics.
export const IMAGE_SCN_CNT_CODE = 0x20;
export const IMAGE_SCN_CNT_INITIALIZED_DATA = 0x40;
export const IMAGE_SCN_MEM_EXECUTE = 0x20000000;
export const IMAGE_SCN_MEM_READ = 0x40000000;
export const IMAGE_SCN_MEM_WRITE = 0x80000000;

const coffSize = 24; // "PE\0\0" and the COFF header
const optionalSize = 112;
const machineX64 = 0x8664;
const magicPe32Plus = 0x20b;
/** The format's limit is 65535; Windows loads 96, kernels have six. */
const mostSections = 96;

/** Whether the file claims to be a PE image: kernels without an EFI stub do not. */
export function isPe(bytes: Uint8Array): boolean {
  return bytes[0] === 0x4d && bytes[1] === 0x5a;
}

/**
 * @param bytes the file, or its beginning with all headers
 * @param source names the file in errors
 * @param size of the whole file, bytes
 * Throws `wrong-file`, `truncated`, or `format` for sections that overlap, or lie outside file or image.
 */
export function parsePe(bytes: Uint8Array, source: string, size = bytes.length): PeImage {
  const view = new ByteView(bytes, source);
  const headerAt = isPe(bytes) ? view.u32(0x3c, 'e_lfanew') : -1;
  if (headerAt < 0 || view.u32(headerAt, 'PE signature') !== 0x4550) {
    throw refuse('wrong-file', source, 'signature', 'no "MZ" that leads to "PE"', 'a PE image');
  }
  const machine = view.u16(headerAt + 4, 'Machine');
  const optionalAt = headerAt + coffSize;
  const magic = view.u16(optionalAt, 'Magic');
  if (machine !== machineX64 || magic !== magicPe32Plus) {
    const found = `machine 0x${machine.toString(16)}, magic 0x${magic.toString(16)}`;
    throw refuse('wrong-file', source, 'COFF header', found, 'PE32+ for x86-64: 0x8664, 0x20b');
  }
  const sizeOfOptional = view.u16(headerAt + 20, 'SizeOfOptionalHeader');
  const directories = view.u32(optionalAt + 108, 'NumberOfRvaAndSizes');
  if (optionalSize + 8 * directories > sizeOfOptional) {
    const found = `${sizeOfOptional} bytes for ${directories} data directories`;
    throw refuse('format', source, 'optional header', found, 'room for all of them');
  }
  const count = view.u16(headerAt + peSectionCount, 'NumberOfSections');
  if (count > mostSections)
    throw refuse('format', source, 'COFF header', `${count} sections`, `at most ${mostSections}`);
  const tableAt = optionalAt + sizeOfOptional;
  const image: PeImage = {
    source,
    headerAt,
    optionalAt,
    tableAt,
    tableEnd: tableAt + count * PE_SECTION_SIZE,
    sizeOfCode: view.u32(optionalAt + peOptional.sizeOfCode, 'SizeOfCode'),
    sizeOfInitializedData: view.u32(optionalAt + peOptional.sizeOfInitializedData, 'SizeOfInitializedData'),
    entry: view.u32(optionalAt + peOptional.entry, 'AddressOfEntryPoint'),
    sectionAlignment: view.u32(optionalAt + 32, 'SectionAlignment'),
    fileAlignment: view.u32(optionalAt + 36, 'FileAlignment'),
    sizeOfImage: view.u32(optionalAt + peOptional.sizeOfImage, 'SizeOfImage'),
    sizeOfHeaders: view.u32(optionalAt + 60, 'SizeOfHeaders'),
    directories,
    sections: Array.from({ length: count }, (_, index) =>
      readSection(view.slice(tableAt + index * PE_SECTION_SIZE, PE_SECTION_SIZE, `section ${index}`)),
    ),
  };
  checkPlaces(image, size);
  return image;
}

function readSection(entry: ByteView): PeSection {
  return {
    name: Buffer.from(entry.bytes.subarray(0, 8)).toString('latin1').replace(/\0+$/, ''),
    virtualSize: entry.u32(8, 'VirtualSize'),
    virtualAddress: entry.u32(12, 'VirtualAddress'),
    rawSize: entry.u32(16, 'SizeOfRawData'),
    rawOffset: entry.u32(20, 'PointerToRawData'),
    characteristics: entry.u32(36, 'Characteristics'),
  };
}

function checkPlaces(image: PeImage, size: number): void {
  const { source, sections, sizeOfImage, sizeOfHeaders, sectionAlignment, fileAlignment, tableEnd } = image;
  for (const [name, value] of [
    ['SectionAlignment', sectionAlignment],
    ['FileAlignment', fileAlignment],
  ] as const) {
    if (value === 0 || (value & (value - 1)) !== 0)
      throw refuse('format', source, name, String(value), 'a power of two');
  }
  if (tableEnd > sizeOfHeaders) {
    const found = `0x${tableEnd.toString(16)}`;
    throw refuse(
      'format',
      source,
      'end of the section table',
      found,
      `at most SizeOfHeaders, ${sizeOfHeaders}`,
    );
  }
  let end = 0;
  for (const section of [...sections].sort((a, b) => a.virtualAddress - b.virtualAddress)) {
    const { name, virtualAddress, virtualSize, rawOffset, rawSize } = section;
    if (rawOffset + rawSize > size) {
      const found = `0x${rawOffset.toString(16)} to 0x${(rawOffset + rawSize).toString(16)}`;
      throw refuse('truncated', source, `section ${name}`, found, `the ${size} bytes of the file`);
    }
    const last = virtualAddress + Math.max(virtualSize, 1);
    if (virtualAddress < end || last > sizeOfImage) {
      const found = `0x${virtualAddress.toString(16)} to 0x${last.toString(16)}`;
      const wanted = `0x${end.toString(16)} to 0x${sizeOfImage.toString(16)}`;
      throw refuse('format', source, `section ${name}`, found, wanted);
    }
    end = last;
  }
  if (image.entry >= sizeOfImage) {
    const found = `0x${image.entry.toString(16)}`;
    throw refuse('format', source, 'AddressOfEntryPoint', found, `below 0x${sizeOfImage.toString(16)}`);
  }
}

/** The section that holds an address of the image, or undefined. */
export function sectionAt(image: PeImage, address: number): PeSection | undefined {
  return image.sections.find(
    ({ virtualAddress, virtualSize }) => address >= virtualAddress && address < virtualAddress + virtualSize,
  );
}

function refuse(
  kind: 'wrong-file' | 'format' | 'truncated',
  source: string,
  where: string,
  found: string,
  wanted: string,
): SaveoopsError {
  const summary =
    kind === 'wrong-file' ? `${source} is not a PE image` : `the PE header of ${source} is damaged`;
  return new SaveoopsError(kind, summary, { where: `${source}, ${where}`, found, wanted });
}
