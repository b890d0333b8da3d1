/** Writes small ELF64 x86-64 files for tests: header, program headers, contents, section headers. */
import { alignUp } from '../bytes/align.js';
import { ByteWriter } from '../bytes/byte-writer.js';
import {
  ELF64_EHDR_SIZE,
  ELF64_PHDR_SIZE,
  ELF64_SHDR_SIZE,
  ELFCLASS64,
  ELFDATA2LSB,
  EM_X86_64,
  ET_EXEC,
  EV_CURRENT,
  PF_R,
  PT_LOAD,
  SHF_ALLOC,
  SHT_PROGBITS,
  SHT_STRTAB,
} from '../formats/elf/elf-tables.js';

export interface SectionParts {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly address?: bigint;
  readonly type?: number;
  readonly flags?: number;
}

/** Every section with an address becomes a PT_LOAD segment as well. */
export function writeElf(sections: readonly SectionParts[]): Uint8Array {
  const names = ['', ...sections.map(({ name }) => name), '.shstrtab'];
  const nameOffsets = names.map((_, i) => Buffer.byteLength(names.slice(0, i).join('\0')) + Math.min(i, 1));
  const nameBytes = Buffer.from(`${names.join('\0')}\0`, 'latin1');
  const all: SectionParts[] = [
    { name: '', bytes: new Uint8Array(), type: 0, flags: 0 },
    ...sections,
    { name: '.shstrtab', bytes: nameBytes, type: SHT_STRTAB, flags: 0 },
  ];
  const loaded = sections.filter(({ address }) => address !== undefined);
  let end = ELF64_EHDR_SIZE + loaded.length * ELF64_PHDR_SIZE;
  const offsets = all.map(({ bytes }) => {
    const at = alignUp(end, 16);
    end = at + bytes.length;
    return at;
  });
  const shoff = alignUp(end, 8);
  const writer = ByteWriter.ofSize(shoff + all.length * ELF64_SHDR_SIZE);
  writer.put(0, Buffer.from('\x7fELF', 'latin1'));
  writer.u8(4, ELFCLASS64);
  writer.u8(5, ELFDATA2LSB);
  writer.u8(6, EV_CURRENT);
  writer.u16(16, ET_EXEC);
  writer.u16(18, EM_X86_64);
  writer.u32(20, EV_CURRENT);
  writer.u64(32, ELF64_EHDR_SIZE);
  writer.u64(40, shoff);
  writer.u16(52, ELF64_EHDR_SIZE);
  writer.u16(54, ELF64_PHDR_SIZE);
  writer.u16(56, loaded.length);
  writer.u16(58, ELF64_SHDR_SIZE);
  writer.u16(60, all.length);
  writer.u16(62, all.length - 1);
  loaded.forEach(({ address = 0n, bytes }, i) => {
    const at = ELF64_EHDR_SIZE + i * ELF64_PHDR_SIZE;
    writer.u32(at, PT_LOAD);
    writer.u32(at + 4, PF_R);
    writer.u64(at + 8, offsets[all.findIndex((section) => section.bytes === bytes)] ?? 0);
    writer.u64(at + 16, address);
    writer.u64(at + 24, address & 0x7fffffffn);
    writer.u64(at + 32, bytes.length);
    writer.u64(at + 40, bytes.length);
    writer.u64(at + 48, 16);
  });
  all.forEach((section, i) => {
    const at = shoff + i * ELF64_SHDR_SIZE;
    const { bytes, address, type = SHT_PROGBITS, flags = SHF_ALLOC } = section;
    writer.u32(at, nameOffsets[i] ?? 0);
    writer.u32(at + 4, type);
    writer.u64(at + 8, flags);
    writer.u64(at + 16, address ?? 0n);
    writer.u64(at + 24, i === 0 ? 0 : (offsets[i] ?? 0));
    writer.u64(at + 32, bytes.length);
    writer.u64(at + 48, i === 0 ? 0 : 1);
    writer.put(offsets[i] ?? 0, bytes);
  });
  return writer.bytes;
}
