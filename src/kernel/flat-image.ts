/**
 * The kernel as it lies in memory after its own decompressor's parse_elf(): every PT_LOAD at its physical address
 * (arch/x86/boot/compressed/misc.c). This is what gets armed, compressed and, at boot, relocated.
 */
import { SaveoopsError } from '../errors.js';
import { PT_LOAD } from '../formats/elf/elf-tables.js';
import type { Elf, ElfSegment } from '../formats/elf/parse-elf.js';

const largestImage = 1 << 30; // KERNEL_IMAGE_SIZE, arch/x86/include/asm/page_64_types.h
/** Most that can lie between two segments: each begins on a 2 MiB boundary (arch/x86/kernel/vmlinux.lds.S). */
const largestHole = 4 << 20;
/** Kernels have four or five segments. */
const mostHoles = 16;

export interface FlatImage {
  readonly bytes: Uint8Array;
  /** Physical address of bytes[0]: LOAD_PHYSICAL_ADDR. */
  readonly physical: bigint;
  /** Link-time virtual address of bytes[0]: _text. */
  readonly virtual: bigint;
  /** Offset of startup_64 in bytes. */
  readonly entryOffset: number;
  /** Names the kernel in errors. */
  readonly source: string;
}

/** Throws `format` when the segments do not make one image, `truncated` when the file lacks their bytes. */
export function flattenKernel(elf: Elf): FlatImage {
  const loads = elf.segments.filter((segment) => segment.p_type === PT_LOAD && segment.p_memsz > 0);
  const first = loads[0];
  if (first === undefined) throw broken(elf, 'no PT_LOAD segment');
  const physical = loads.reduce(
    (low, segment) => (segment.p_paddr < low ? segment.p_paddr : low),
    first.p_paddr,
  );
  const end = Math.max(...loads.map((segment) => Number(segment.p_paddr - physical) + segment.p_filesz));
  // A small file must not ask for a gigabyte of memory: what its headers claim to be stored has to be there.
  const parts = loads.map((segment) => ({ segment, stored: elf.segmentBytes(segment) }));
  const holes = Math.min(loads.length, mostHoles) * largestHole;
  const most = parts.reduce((sum, { stored }) => sum + stored.length, holes);
  if (end > Math.min(largestImage, most)) throw broken(elf, `segments that span ${end} bytes`);
  const bytes = new Uint8Array(end);
  for (const { segment, stored } of parts) bytes.set(stored, Number(segment.p_paddr - physical));
  const text = loads.find((segment) => segment.p_paddr === physical);
  if (text === undefined || text.p_vaddr === 0n)
    throw broken(elf, 'no virtual address for the first segment');
  checkOneMapping(elf, loads, text);
  const entryOffset = Number(elf.header.e_entry - physical);
  if (entryOffset < 0 || entryOffset >= end) throw broken(elf, `entry 0x${elf.header.e_entry.toString(16)}`);
  return { bytes, physical, virtual: text.p_vaddr, entryOffset, source: elf.source };
}

/** All segments but the per-CPU template (linked at 0) share one distance between virtual and physical address. */
function checkOneMapping(elf: Elf, loads: readonly ElfSegment[], text: ElfSegment): void {
  const distance = text.p_vaddr - text.p_paddr;
  const odd = loads.find(
    (segment) => segment.p_vaddr !== 0n && segment.p_vaddr - segment.p_paddr !== distance,
  );
  if (odd !== undefined)
    throw broken(elf, `a segment at 0x${odd.p_vaddr.toString(16)} that is mapped elsewhere`);
}

function broken(elf: Elf, found: string): SaveoopsError {
  return new SaveoopsError('format', 'the kernel image cannot be laid out', {
    where: `${elf.source}, program headers`,
    found,
    wanted: 'the PT_LOAD segments of an x86-64 vmlinux',
  });
}

/** Offset in `bytes` of a link-time virtual address. Throws `missing-fact` when [address, +size) is outside. */
export function offsetInImage(image: FlatImage, address: bigint, size: number, what: string): number {
  const offset = address - image.virtual;
  if (offset >= 0n && offset + BigInt(size) <= BigInt(image.bytes.length)) return Number(offset);
  throw new SaveoopsError('missing-fact', `${what} lies outside the kernel image`, {
    where: `${image.source}, address 0x${address.toString(16)}`,
    found: `offset ${offset}`,
    wanted: `an address in the ${image.bytes.length} bytes of the image`,
  });
}
