/**
 * The two UEFI entries of a composed image: both lead to the entry stub, which borrows the kernel's own EFI stub
 * (stubs/README.md, "Under UEFI").
 *
 *   EFI handover   setup header, handover_offset (boot.rst, "EFI Handover Protocol")
 *   PE             AddressOfEntryPoint, and two more sections behind the kernel's own, which stay as they are:
 *                  .sotext  read and execute: from the end of the kernel's last section to the end of the stub's code
 *                  .sodata  read: the stub's data and all parts, to the end of the file
 *
 * Both sections are contiguous in the file and in memory, so the distance from code to data is the same in both.
 * A kernel without an EFI stub gets neither entry.
 */
import { alignUp } from '../bytes/align.js';
import { ByteWriter, littleEndian } from '../bytes/byte-writer.js';
import { SaveoopsError } from '../errors.js';
import { XLF_EFI_HANDOVER_32 } from '../formats/bzimage/setup-header.js';
import {
  IMAGE_SCN_CNT_CODE,
  IMAGE_SCN_CNT_INITIALIZED_DATA,
  IMAGE_SCN_MEM_EXECUTE,
  IMAGE_SCN_MEM_READ,
  IMAGE_SCN_MEM_WRITE,
  PE_SECTION_SIZE,
  isPe,
  parsePe,
  peOptional,
  peSectionCount,
  sectionAt,
  type PeImage,
  type PeSection,
} from '../formats/pe/parse-pe.js';
import type { HeaderEditor } from './header-editor.js';

const page = 4096;
/** The 64-bit handover entry lies this far behind handover_offset (boot.rst). */
const handoverDistance = 0x200;
/** Where the PE header goes when the section table has no room: right behind the DOS header, as in Linux since 6.7. */
const lowestPeHeader = 0x40;
/** boot_params.sentinel and the setup header begin here: the section table ends before. */
const headerLimit = 0x1ef;

/** Offsets in the entry stub, bytes. */
export interface EfiEntries {
  readonly handover: number;
  readonly pe: number;
  /** End of code and constants, page-aligned; nothing but padding for one page from here on. */
  readonly textEnd: number;
}

/** Where the kernel's own entries are, and where a PE loader puts the entry stub: what goes into the plan. */
export interface EfiPlaces {
  /** handover_offset of the original; 0: none. */
  readonly handover: number;
  /** AddressOfEntryPoint of the original; 0: none. */
  readonly peEntry: number;
  /** Address of the entry stub from the start of the PE image in memory. */
  readonly stubAddress: number;
}

/**
 * Changes the headers of `bytes`, the composed file. `stubAt`: file offset of the entry stub.
 * Throws `format` for a PE header that is none, `unsupported` for one without room.
 */
export function addEfiEntries(
  edit: HeaderEditor,
  { stubAt, setupSize }: { readonly stubAt: number; readonly setupSize: number },
  entries: EfiEntries,
): EfiPlaces {
  const { bytes } = edit;
  if (!isPe(bytes)) return { handover: 0, peEntry: 0, stubAddress: 0 };
  const original = parsePe(bytes, 'the primary kernel');
  const handover = edit.header('handover_offset');
  if (handover !== 0) {
    edit.setHeader('handover_offset', stubAt - setupSize + entries.handover - handoverDistance);
    // 32-bit firmware would enter at handover_offset itself, where no code of ours is.
    edit.setHeader('xloadflags', edit.header('xloadflags') & ~XLF_EFI_HANDOVER_32);
  }
  const [text, data] = newSections(original, bytes.length, stubAt + entries.textEnd);
  const stubAddress = text.virtualAddress + stubAt - text.rawOffset;
  writePe(edit, original, [text, data], stubAddress + entries.pe);
  return { handover, peEntry: original.entry, stubAddress };
}

/** @param boundary file offset from which one page of padding may be either section's */
function newSections(original: PeImage, fileSize: number, boundary: number): readonly [PeSection, PeSection] {
  const { sections, fileAlignment, sectionAlignment, sizeOfImage } = original;
  const rawEnd = Math.max(...sections.map(({ rawOffset, rawSize }) => rawOffset + rawSize));
  // The first byte behind the kernel's own: signers complain of gaps.
  const textAt = alignUp(rawEnd, fileAlignment);
  const alignment = Math.max(sectionAlignment, page);
  const textSize = alignUp(boundary - textAt, alignment);
  if (textAt + alignment > boundary || alignment > page) {
    throw new SaveoopsError('unsupported', 'the PE sections of the kernel are not where kernels have them', {
      where: original.source,
      found: `sections to 0x${rawEnd.toString(16)}, SectionAlignment 0x${sectionAlignment.toString(16)}`,
      wanted: `an end before 0x${boundary.toString(16)}, and at most 0x${page.toString(16)}`,
    });
  }
  const textAddress = alignUp(sizeOfImage, alignment);
  const dataAt = textAt + textSize;
  return [
    {
      name: '.sotext',
      virtualSize: textSize,
      virtualAddress: textAddress,
      rawSize: textSize,
      rawOffset: textAt,
      characteristics: IMAGE_SCN_CNT_CODE | IMAGE_SCN_MEM_EXECUTE | IMAGE_SCN_MEM_READ,
    },
    {
      name: '.sodata',
      virtualSize: fileSize - dataAt,
      virtualAddress: textAddress + textSize,
      rawSize: fileSize - dataAt,
      rawOffset: dataAt,
      characteristics: IMAGE_SCN_CNT_INITIALIZED_DATA | IMAGE_SCN_MEM_READ,
    },
  ];
}

/** PE header and section table, at 0x40 when they would not fit where they are. */
function writePe(edit: HeaderEditor, original: PeImage, added: readonly PeSection[], entry: number): void {
  const { headerAt, tableEnd, optionalAt, sections } = original;
  const room = added.length * PE_SECTION_SIZE;
  const shift = tableEnd + room > headerLimit ? headerAt - lowestPeHeader : 0;
  if (shift < 0 || tableEnd - shift + room > Math.min(headerLimit, original.sizeOfHeaders)) {
    throw new SaveoopsError('unsupported', 'the PE header of the kernel has no room for two more sections', {
      where: original.source,
      found: `a section table of ${sections.length} that ends at 0x${tableEnd.toString(16)}`,
      wanted: `an end at most at 0x${(headerLimit - room).toString(16)}`,
    });
  }
  if (shift > 0) {
    edit.put('PE header moved to 0x40', lowestPeHeader, edit.bytes.slice(headerAt, tableEnd));
    edit.put('PE header offset', 0x3c, littleEndian(lowestPeHeader, 4));
  }
  const at = optionalAt - shift;
  const [text, data] = added;
  const alignment = Math.max(original.sectionAlignment, page);
  const imageEnd = alignUp((data?.virtualAddress ?? 0) + (data?.virtualSize ?? 0), alignment);
  edit.put(
    'PE header NumberOfSections',
    headerAt - shift + peSectionCount,
    littleEndian(sections.length + added.length, 2),
  );
  for (const [name, offset, value] of [
    ['SizeOfCode', peOptional.sizeOfCode, original.sizeOfCode + (text?.rawSize ?? 0)],
    [
      'SizeOfInitializedData',
      peOptional.sizeOfInitializedData,
      original.sizeOfInitializedData + (data?.rawSize ?? 0),
    ],
    ['AddressOfEntryPoint', peOptional.entry, entry],
    ['SizeOfImage', peOptional.sizeOfImage, imageEnd],
    ['CheckSum', peOptional.checksum, 0],
  ] as const) {
    edit.put(`PE header ${name}`, at + offset, littleEndian(value, 4));
  }
  // The file is another one: whoever has signed the kernel has not signed this.
  if (original.directories > 4)
    edit.put('PE header certificates', at + peOptional.certificates, new Uint8Array(8));
  added.forEach((section, index) => {
    edit.put(
      `PE header section ${section.name}`,
      tableEnd - shift + index * PE_SECTION_SIZE,
      sectionHeader(section),
    );
  });
}

function sectionHeader(section: PeSection): Uint8Array {
  const writer = ByteWriter.ofSize(PE_SECTION_SIZE);
  writer.put(0, Buffer.from(section.name, 'latin1'));
  writer.u32(8, section.virtualSize);
  writer.u32(12, section.virtualAddress);
  writer.u32(16, section.rawSize);
  writer.u32(20, section.rawOffset);
  writer.u32(36, section.characteristics);
  return writer.bytes;
}

/**
 * Reads the result back: the kernel's own sections are as they were, ours are disjoint from them and cover the file's
 * rest, none of ours is writable, and the entry is in the executable one. Throws `invariant`.
 */
export function checkEfiEntries(bytes: Uint8Array, original: PeImage, entry: number): void {
  const image = parsePe(bytes, 'the composed image');
  const [text, data] = image.sections.slice(original.sections.length);
  const own = image.sections.slice(0, original.sections.length);
  const rawEnd = Math.max(...own.map(({ rawOffset, rawSize }) => rawOffset + rawSize));
  const flags = [text, data].map((each) => each?.characteristics ?? IMAGE_SCN_MEM_WRITE);
  for (const [what, holds] of [
    ['the sections of the kernel', JSON.stringify(own) === JSON.stringify(original.sections)],
    ['the end of the section table', image.tableEnd <= headerLimit],
    ['AddressOfEntryPoint', image.entry === entry && sectionAt(image, entry) === text],
    ['a writable section', flags.every((each) => (each & IMAGE_SCN_MEM_WRITE) === 0)],
    ['the executable section', ((flags[0] ?? 0) & IMAGE_SCN_MEM_EXECUTE) !== 0],
    ['an executable section of data', ((flags[1] ?? 0) & IMAGE_SCN_MEM_EXECUTE) === 0],
    ['a gap before .sotext', text !== undefined && text.rawOffset - rawEnd < image.fileAlignment],
    ['a gap before .sodata', text !== undefined && data?.rawOffset === text.rawOffset + text.rawSize],
    ['the end of .sodata', data !== undefined && data.rawOffset + data.rawSize === bytes.length],
    ['SizeOfImage', image.sizeOfImage % image.sectionAlignment === 0],
  ] as const) {
    if (holds) continue;
    throw new SaveoopsError('invariant', 'the PE header of the composed image is not what was intended', {
      where: what,
      found: JSON.stringify({ ...image, sections: image.sections.slice(-2) }),
      wanted: 'sections of the kernel as they were, then .sotext (RX) and .sodata (R) to the end of the file',
      hint: 'this is a bug in Saveoops: please report it',
    });
  }
}
