/**
 * ELF notes: a header of three u32 (namesz, descsz, type), then the owner's name and the descriptor, each padded to
 * four bytes.
 *
 * Source: elf(5), "Notes (Nhdr)"; the kernel's fs/proc/vmcore.c and include/linux/elfcore.h. The gABI speaks of
 * 8-byte padding for 64-bit files; Linux, and so every reader of vmcores, uses four.
 */
import { alignUp } from '../../bytes/align.js';
import type { ByteView } from '../../bytes/byte-reader.js';
import { ByteWriter } from '../../bytes/byte-writer.js';
import { ELF_NHDR_SIZE } from './elf-tables.js';

export interface ElfNote {
  /** The owner without its NUL: "GNU", "CORE", "VMCOREINFO". */
  readonly name: string;
  readonly type: number;
  readonly desc: Uint8Array;
}

/**
 * Reads notes until the view ends. Trailing bytes that are all zero end the list: note areas are allocated in whole
 * pages. Descriptors share memory with the view. Throws `truncated`.
 */
export function parseNotes(view: ByteView): ElfNote[] {
  const notes: ElfNote[] = [];
  let at = 0;
  while (at < view.length) {
    if (view.length - at < ELF_NHDR_SIZE && view.bytes.subarray(at).every((byte) => byte === 0)) break;
    const namesz = view.u32(at, 'n_namesz');
    const descsz = view.u32(at + 4, 'n_descsz');
    const type = view.u32(at + 8, 'n_type');
    if (namesz === 0 && descsz === 0 && type === 0) break;
    const nameAt = at + ELF_NHDR_SIZE;
    const descAt = nameAt + alignUp(namesz, 4);
    const nameBytes = view.slice(nameAt, namesz, 'note name').bytes;
    const desc = view.slice(descAt, descsz, 'note descriptor').bytes;
    notes.push({ name: Buffer.from(nameBytes).toString('latin1').replace(/\0+$/, ''), type, desc });
    at = descAt + alignUp(descsz, 4);
  }
  return notes;
}

/** Bytes of one note, a multiple of four; namesz counts the name's NUL, as the kernel's notes do. */
export function encodeNote(note: ElfNote): Uint8Array {
  const name = Buffer.from(`${note.name}\0`, 'latin1');
  const descAt = ELF_NHDR_SIZE + alignUp(name.length, 4);
  const writer = ByteWriter.ofSize(descAt + alignUp(note.desc.length, 4));
  writer.u32(0, name.length);
  writer.u32(4, note.desc.length);
  writer.u32(8, note.type);
  writer.put(ELF_NHDR_SIZE, name);
  writer.put(descAt, note.desc);
  return writer.bytes;
}
