/**
 * What an ELF program needs at run time: its dynamic loader and its shared libraries. Read from the file (System V
 * gABI, chapter 5 "Dynamic Section"), because ldd would execute it.
 */
import { ByteView } from '../bytes/byte-reader.js';
import { PT_DYNAMIC, PT_LOAD } from '../formats/elf/elf-tables.js';
import { type Elf, type ElfSegment } from '../formats/elf/parse-elf.js';
import { SaveoopsError } from '../errors.js';

const PT_INTERP = 3;
const DT_NULL = 0n;
const DT_NEEDED = 1n;
const DT_STRTAB = 5n;
const DYN64_SIZE = 16;

export interface ElfNeeds {
  /** Path of the dynamic loader (PT_INTERP); undefined for static programs and for most libraries. */
  readonly interpreter: string | undefined;
  /** Names of the libraries (DT_NEEDED), in the file's order. */
  readonly libraries: readonly string[];
}

/** Reads PT_INTERP and DT_NEEDED of a 64-bit ELF file. Throws `format` or `truncated` for a damaged one. */
export function readElfNeeds(elf: Elf): ElfNeeds {
  const interp = elf.segments.find((segment) => segment.p_type === PT_INTERP);
  return {
    interpreter:
      interp === undefined ? undefined : segmentView(elf, interp, 'PT_INTERP').cString(0, 'PT_INTERP'),
    libraries: readNeeded(elf),
  };
}

function segmentView(elf: Elf, segment: ElfSegment, what: string): ByteView {
  return new ByteView(elf.segmentBytes(segment), `${elf.source}, ${what}`);
}

function readNeeded(elf: Elf): string[] {
  const dynamic = elf.segments.find((segment) => segment.p_type === PT_DYNAMIC);
  if (dynamic === undefined) return [];
  const view = segmentView(elf, dynamic, 'PT_DYNAMIC');
  const nameOffsets: number[] = [];
  let stringTable: bigint | undefined;
  for (let at = 0; at + DYN64_SIZE <= view.length; at += DYN64_SIZE) {
    const tag = view.u64(at, 'd_tag');
    if (tag === DT_NULL) break;
    if (tag === DT_NEEDED) nameOffsets.push(view.size64(at + 8, 'DT_NEEDED'));
    if (tag === DT_STRTAB) stringTable = view.u64(at + 8, 'DT_STRTAB');
  }
  if (nameOffsets.length === 0) return [];
  const strings = viewAtAddress(elf, stringTable);
  return nameOffsets.map((offset) => strings.cString(offset, 'DT_NEEDED name'));
}

/** The file bytes from the virtual address `address` to the end of its segment. */
function viewAtAddress(elf: Elf, address: bigint | undefined): ByteView {
  for (const segment of elf.segments) {
    if (segment.p_type !== PT_LOAD || address === undefined) continue;
    const offset = address - segment.p_vaddr;
    if (offset < 0n || offset >= BigInt(segment.p_filesz)) continue;
    return new ByteView(elf.segmentBytes(segment).subarray(Number(offset)), `${elf.source}, DT_STRTAB`);
  }
  throw new SaveoopsError('format', `${elf.source} names libraries but has no table of their names`, {
    where: `${elf.source}, PT_DYNAMIC, DT_STRTAB`,
    found: address === undefined ? 'no DT_STRTAB' : `address 0x${address.toString(16)} outside every PT_LOAD`,
    wanted: 'an address inside a PT_LOAD segment',
  });
}
