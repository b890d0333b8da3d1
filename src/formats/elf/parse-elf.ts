/**
 * ELF headers, segments and sections of little-endian x86 files: ELF64 (vmlinux, vmcore headers, stubs) and ELF32
 * (the COM32 module).
 *
 * Source: System V gABI, chapter 4 "Object Files" and chapter 5 "Program Header"; elf(5). Symbols and relocations
 * are left to those who need them.
 */
import { ByteView } from '../../bytes/byte-reader.js';
import { SaveoopsError } from '../../errors.js';
import {
  EI_NIDENT,
  ELF32_PHDR_SIZE,
  ELF32_SHDR_SIZE,
  ELF64_PHDR_SIZE,
  ELF64_SHDR_SIZE,
  ELFCLASS32,
  ELFCLASS64,
  ELFDATA2LSB,
  EM_386,
  EM_X86_64,
  EV_CURRENT,
  PN_XNUM,
  SHN_UNDEF,
  SHN_XINDEX,
  SHT_NOBITS,
  SHT_NULL,
} from './elf-tables.js';

export interface ElfHeader {
  /** ELFCLASS32 or ELFCLASS64 */
  readonly ei_class: number;
  readonly e_type: number;
  readonly e_machine: number;
  readonly e_entry: bigint;
  readonly e_phoff: number;
  readonly e_shoff: number;
  readonly e_flags: number;
  readonly e_ehsize: number;
  readonly e_phentsize: number;
  /** The real numbers: PN_XNUM and SHN_XINDEX are resolved. */
  readonly e_phnum: number;
  readonly e_shentsize: number;
  readonly e_shnum: number;
  readonly e_shstrndx: number;
}

/** A program header. Offsets and sizes in bytes; addresses as bigint. */
export interface ElfSegment {
  readonly p_type: number;
  readonly p_flags: number;
  readonly p_offset: number;
  readonly p_vaddr: bigint;
  readonly p_paddr: bigint;
  readonly p_filesz: number;
  readonly p_memsz: number;
  readonly p_align: bigint;
}

/** A section header and its name. Offsets and sizes in bytes; addresses and flags as bigint. */
export interface ElfSection {
  readonly name: string;
  readonly index: number;
  readonly sh_name: number;
  readonly sh_type: number;
  readonly sh_flags: bigint;
  readonly sh_addr: bigint;
  readonly sh_offset: number;
  readonly sh_size: number;
  readonly sh_link: number;
  readonly sh_info: number;
  readonly sh_addralign: bigint;
  readonly sh_entsize: number;
}

/** A parsed file; byte ranges share memory with the bytes that were parsed. */
export class Elf {
  readonly source: string;
  readonly bytes: Uint8Array;
  readonly header: ElfHeader;
  readonly segments: readonly ElfSegment[];
  readonly sections: readonly ElfSection[];
  private readonly view: ByteView;

  constructor(view: ByteView, header: ElfHeader, segments: ElfSegment[], sections: ElfSection[]) {
    this.view = view;
    this.source = view.source;
    this.bytes = view.bytes;
    this.header = header;
    this.segments = segments;
    this.sections = sections;
  }

  /** The first section of this name. */
  findSection(name: string): ElfSection | undefined {
    return this.sections.find((section) => section.name === name);
  }

  /** The first section of this name; throws `missing-fact`. */
  requireSection(name: string): ElfSection {
    const section = this.findSection(name);
    if (section !== undefined) return section;
    throw new SaveoopsError('missing-fact', `${this.source} has no section ${name}`, {
      where: `${this.source}, section headers`,
      found: this.sections.map((each) => each.name).join(' ') || 'no sections',
      wanted: `a section named ${name}`,
    });
  }

  /** File bytes of a section: none for SHT_NOBITS and SHT_NULL. Throws `truncated`. */
  sectionBytes(section: ElfSection): Uint8Array {
    if (section.sh_type === SHT_NOBITS || section.sh_type === SHT_NULL) return new Uint8Array();
    return this.view.slice(section.sh_offset, section.sh_size, `section ${section.name}`).bytes;
  }

  /** File bytes of a segment (p_filesz of them; the rest up to p_memsz is zero). Throws `truncated`. */
  segmentBytes(segment: ElfSegment): Uint8Array {
    return this.view.slice(segment.p_offset, segment.p_filesz, `segment at ${hex(segment.p_vaddr)}`).bytes;
  }
}

function hex(value: number | bigint): string {
  return `0x${value.toString(16)}`;
}

/**
 * Parses headers only: section and segment contents are checked when they are asked for.
 * @param source names the file in errors
 * Throws `wrong-file` (no ELF, or for another machine), `truncated` or `format`.
 */
export function parseElf(bytes: Uint8Array, source: string): Elf {
  const view = new ByteView(bytes, source);
  const identity = readIdentity(view);
  const reader = identity === ELFCLASS64 ? new Reader64(view) : new Reader32(view);
  let header = reader.header();
  if (header.e_machine !== EM_386 && header.e_machine !== EM_X86_64) {
    throw wrongFile(
      source,
      `e_machine ${header.e_machine}`,
      `EM_386 (${EM_386}) or EM_X86_64 (${EM_X86_64})`,
    );
  }
  header = resolveExtendedNumbers(header, reader);
  checkEntrySize(source, 'e_phentsize', header.e_phnum, header.e_phentsize, reader.phdrSize);
  checkEntrySize(source, 'e_shentsize', header.e_shnum, header.e_shentsize, reader.shdrSize);
  // Checked before the loops, so that an absurd count fails here and not after gigabytes of objects.
  view.check(header.e_phoff, header.e_phnum * header.e_phentsize, 'program header table');
  view.check(header.e_shoff, header.e_shnum * header.e_shentsize, 'section header table');

  const segments: ElfSegment[] = [];
  for (let i = 0; i < header.e_phnum; i++) {
    segments.push(reader.segment(header.e_phoff + i * header.e_phentsize, `program header ${i}`));
  }
  const unnamed: Omit<ElfSection, 'name'>[] = [];
  for (let i = 0; i < header.e_shnum; i++) {
    unnamed.push(reader.section(header.e_shoff + i * header.e_shentsize, i));
  }
  return new Elf(view, header, segments, nameSections(view, header, unnamed));
}

function wrongFile(source: string, found: string, wanted: string): SaveoopsError {
  return new SaveoopsError('wrong-file', `${source} is not an x86 ELF file`, {
    where: `${source}, ELF header`,
    found,
    wanted,
  });
}

/** EI_CLASS of a valid little-endian e_ident. */
function readIdentity(view: ByteView): number {
  const magic = Buffer.from(view.bytes.subarray(0, 4)).toString('latin1');
  if (magic !== '\x7fELF') {
    throw wrongFile(view.source, `first bytes ${JSON.stringify(magic)}`, '\\x7fELF');
  }
  view.check(0, EI_NIDENT, 'e_ident');
  const elfClass = view.u8(4, 'EI_CLASS');
  const data = view.u8(5, 'EI_DATA');
  const version = view.u8(6, 'EI_VERSION');
  const known = elfClass === ELFCLASS32 || elfClass === ELFCLASS64;
  if (known && data === ELFDATA2LSB && version === EV_CURRENT) return elfClass;
  throw wrongFile(
    view.source,
    `EI_CLASS ${elfClass}, EI_DATA ${data}, EI_VERSION ${version}`,
    'class 1 or 2, data 1 (little-endian), version 1',
  );
}

function checkEntrySize(source: string, field: string, count: number, size: number, wanted: number): void {
  if (count === 0 || size >= wanted) return;
  throw new SaveoopsError('format', `${source} has impossibly small ${field.slice(2, 4)} entries`, {
    where: `${source}, ELF header, ${field}`,
    found: `${size} bytes`,
    wanted: `at least ${wanted} bytes`,
  });
}

/** gABI: a count that does not fit its 16-bit field is kept in section header 0. */
function resolveExtendedNumbers(header: ElfHeader, reader: Reader): ElfHeader {
  const many = header.e_shnum === 0 || header.e_shstrndx === SHN_XINDEX || header.e_phnum === PN_XNUM;
  if (header.e_shoff === 0 || !many) return header;
  const first = reader.section(header.e_shoff, 0);
  return {
    ...header,
    e_shnum: header.e_shnum === 0 ? first.sh_size : header.e_shnum,
    e_shstrndx: header.e_shstrndx === SHN_XINDEX ? first.sh_link : header.e_shstrndx,
    e_phnum: header.e_phnum === PN_XNUM ? first.sh_info : header.e_phnum,
  };
}

function nameSections(
  view: ByteView,
  header: ElfHeader,
  sections: readonly Omit<ElfSection, 'name'>[],
): ElfSection[] {
  if (header.e_shstrndx === SHN_UNDEF) return sections.map((section) => ({ ...section, name: '' }));
  const table = sections[header.e_shstrndx];
  if (table === undefined) {
    throw new SaveoopsError('format', `${view.source} has no section name table`, {
      where: `${view.source}, ELF header, e_shstrndx`,
      found: String(header.e_shstrndx),
      wanted: `a section index below ${sections.length}`,
    });
  }
  const names = view.slice(table.sh_offset, table.sh_size, 'section name table');
  return sections.map((section) => ({
    ...section,
    name: names.cString(section.sh_name, `name of section ${section.index}`),
  }));
}

/** The two classes differ in field order and width only. */
interface Reader {
  readonly phdrSize: number;
  readonly shdrSize: number;
  header(): ElfHeader;
  segment(at: number, what: string): ElfSegment;
  section(at: number, index: number): Omit<ElfSection, 'name'>;
}

class Reader64 implements Reader {
  readonly phdrSize = ELF64_PHDR_SIZE;
  readonly shdrSize = ELF64_SHDR_SIZE;
  private readonly view: ByteView;

  constructor(view: ByteView) {
    this.view = view;
  }

  header(): ElfHeader {
    const { view } = this;
    return {
      ei_class: ELFCLASS64,
      e_type: view.u16(16, 'e_type'),
      e_machine: view.u16(18, 'e_machine'),
      e_entry: view.u64(24, 'e_entry'),
      e_phoff: view.size64(32, 'e_phoff'),
      e_shoff: view.size64(40, 'e_shoff'),
      e_flags: view.u32(48, 'e_flags'),
      e_ehsize: view.u16(52, 'e_ehsize'),
      e_phentsize: view.u16(54, 'e_phentsize'),
      e_phnum: view.u16(56, 'e_phnum'),
      e_shentsize: view.u16(58, 'e_shentsize'),
      e_shnum: view.u16(60, 'e_shnum'),
      e_shstrndx: view.u16(62, 'e_shstrndx'),
    };
  }

  segment(at: number, what: string): ElfSegment {
    const { view } = this;
    return {
      p_type: view.u32(at, `${what}, p_type`),
      p_flags: view.u32(at + 4, `${what}, p_flags`),
      p_offset: view.size64(at + 8, `${what}, p_offset`),
      p_vaddr: view.u64(at + 16, `${what}, p_vaddr`),
      p_paddr: view.u64(at + 24, `${what}, p_paddr`),
      p_filesz: view.size64(at + 32, `${what}, p_filesz`),
      p_memsz: view.size64(at + 40, `${what}, p_memsz`),
      p_align: view.u64(at + 48, `${what}, p_align`),
    };
  }

  section(at: number, index: number): Omit<ElfSection, 'name'> {
    const { view } = this;
    const what = `section header ${index}`;
    return {
      index,
      sh_name: view.u32(at, `${what}, sh_name`),
      sh_type: view.u32(at + 4, `${what}, sh_type`),
      sh_flags: view.u64(at + 8, `${what}, sh_flags`),
      sh_addr: view.u64(at + 16, `${what}, sh_addr`),
      sh_offset: view.size64(at + 24, `${what}, sh_offset`),
      sh_size: view.size64(at + 32, `${what}, sh_size`),
      sh_link: view.u32(at + 40, `${what}, sh_link`),
      sh_info: view.u32(at + 44, `${what}, sh_info`),
      sh_addralign: view.u64(at + 48, `${what}, sh_addralign`),
      sh_entsize: view.size64(at + 56, `${what}, sh_entsize`),
    };
  }
}

class Reader32 implements Reader {
  readonly phdrSize = ELF32_PHDR_SIZE;
  readonly shdrSize = ELF32_SHDR_SIZE;
  private readonly view: ByteView;

  constructor(view: ByteView) {
    this.view = view;
  }

  header(): ElfHeader {
    const { view } = this;
    return {
      ei_class: ELFCLASS32,
      e_type: view.u16(16, 'e_type'),
      e_machine: view.u16(18, 'e_machine'),
      e_entry: BigInt(view.u32(24, 'e_entry')),
      e_phoff: view.u32(28, 'e_phoff'),
      e_shoff: view.u32(32, 'e_shoff'),
      e_flags: view.u32(36, 'e_flags'),
      e_ehsize: view.u16(40, 'e_ehsize'),
      e_phentsize: view.u16(42, 'e_phentsize'),
      e_phnum: view.u16(44, 'e_phnum'),
      e_shentsize: view.u16(46, 'e_shentsize'),
      e_shnum: view.u16(48, 'e_shnum'),
      e_shstrndx: view.u16(50, 'e_shstrndx'),
    };
  }

  segment(at: number, what: string): ElfSegment {
    const { view } = this;
    return {
      p_type: view.u32(at, `${what}, p_type`),
      p_offset: view.u32(at + 4, `${what}, p_offset`),
      p_vaddr: BigInt(view.u32(at + 8, `${what}, p_vaddr`)),
      p_paddr: BigInt(view.u32(at + 12, `${what}, p_paddr`)),
      p_filesz: view.u32(at + 16, `${what}, p_filesz`),
      p_memsz: view.u32(at + 20, `${what}, p_memsz`),
      p_flags: view.u32(at + 24, `${what}, p_flags`),
      p_align: BigInt(view.u32(at + 28, `${what}, p_align`)),
    };
  }

  section(at: number, index: number): Omit<ElfSection, 'name'> {
    const { view } = this;
    const what = `section header ${index}`;
    return {
      index,
      sh_name: view.u32(at, `${what}, sh_name`),
      sh_type: view.u32(at + 4, `${what}, sh_type`),
      sh_flags: BigInt(view.u32(at + 8, `${what}, sh_flags`)),
      sh_addr: BigInt(view.u32(at + 12, `${what}, sh_addr`)),
      sh_offset: view.u32(at + 16, `${what}, sh_offset`),
      sh_size: view.u32(at + 20, `${what}, sh_size`),
      sh_link: view.u32(at + 24, `${what}, sh_link`),
      sh_info: view.u32(at + 28, `${what}, sh_info`),
      sh_addralign: BigInt(view.u32(at + 32, `${what}, sh_addralign`)),
      sh_entsize: view.u32(at + 36, `${what}, sh_entsize`),
    };
  }
}
