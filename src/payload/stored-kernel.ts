/**
 * The primary kernel as the entry stub decompresses it, and the edits that it applies to the result. A bzImage that is compressed with
 * LZ4 serves as it is: its payload is a legacy frame of an ELF file and its relocation lists, and the stub puts the segments where they
 * belong. Any other is compressed anew: the flat image and the lists (docs/design.md, "Why LZ4").
 */
import { alignUp } from '../bytes/align.js';
import { ByteView } from '../bytes/byte-reader.js';
import { ByteWriter } from '../bytes/byte-writer.js';
import type { EditedBytes } from '../arm/check-armed.js';
import { SaveoopsError } from '../errors.js';
import { payloadCompression } from '../formats/bzimage/payload.js';
import { PT_LOAD } from '../formats/elf/elf-tables.js';
import { runTool } from '../host/run-tool.js';
import type { Kernel } from '../kernel/load-kernel.js';
import { editDef, maxMoves, offsetOf, structSize } from '../stubs/shared-layout.js';

/** One segment: struct move. */
export interface SegmentMove {
  readonly from: number;
  readonly to: number;
  readonly size: number;
}

/** What the entry stub must know of the decompressed data. Sizes and offsets in bytes. */
export interface UnpackedLayout {
  readonly size: number;
  readonly moves: readonly SegmentMove[];
  readonly words64At: number;
  readonly inverse32At: number;
  readonly words32At: number;
}

export interface StoredKernel {
  /** LZ4 legacy frame. */
  readonly bytes: Uint8Array;
  /** Where the primary's own bzImage has it, from the start of its protected-mode part; undefined: it is a part of its own. */
  readonly inside: number | undefined;
  readonly unpacked: UnpackedLayout;
}

/** Throws what the tool throws. */
export async function storeKernel(kernel: Kernel): Promise<StoredKernel> {
  const own = ownPayload(kernel);
  if (own !== undefined) return own;
  const { image, relocations } = kernel;
  const { words64, inverse32, words32 } = relocations;
  const words64At = image.bytes.length;
  const inverse32At = words64At + words64.byteLength;
  const words32At = inverse32At + inverse32.byteLength;
  const size = words32At + words32.byteLength;
  const joined = ByteWriter.ofSize(size);
  joined.put(0, image.bytes);
  let at = image.bytes.length;
  for (const list of [words64, inverse32, words32])
    for (const place of list) {
      joined.u32(at, place);
      at += 4;
    }
  return {
    bytes: await compressLegacy(joined.bytes),
    inside: undefined,
    unpacked: { size, moves: [], words64At, inverse32At, words32At },
  };
}

/** undefined: it is no LZ4, or is laid out in another way than the stub can follow. */
function ownPayload({ bzImage, elf, image, relocations }: Kernel): StoredKernel | undefined {
  const { payload, protectedMode } = bzImage;
  if (payloadCompression(payload) !== 'lz4') return undefined;
  const moves = elf.segments
    .filter(({ p_type, p_filesz }) => p_type === PT_LOAD && p_filesz > 0)
    .map(({ p_offset, p_paddr, p_filesz }) => ({
      from: p_offset,
      to: Number(p_paddr - image.physical),
      size: p_filesz,
    }));
  const followed = moves.every(({ from, to }, index) => {
    const before = moves[index - 1] ?? { from: 0, to: 0, size: 0 };
    return to <= from && from >= before.from + before.size && to >= before.to + before.size;
  });
  const elfEnd = elf.header.e_shoff + elf.header.e_shnum * elf.header.e_shentsize;
  if (!followed || moves.length > maxMoves || elfEnd < image.bytes.length) return undefined;
  // A zero leads each list (src/kernel/relocations.ts). Without the inverse list its place does not matter.
  const words64At = elfEnd + 4;
  const inverse32At = words64At + relocations.words64.byteLength + 4;
  const afterInverse =
    relocations.inverse32.length > 0 ? inverse32At + relocations.inverse32.byteLength + 4 : inverse32At;
  const view = new DataView(payload.buffer, payload.byteOffset, payload.length);
  return {
    bytes: payload.subarray(0, payload.length - sizeWord),
    inside: payload.byteOffset - protectedMode.byteOffset,
    unpacked: {
      size: view.getUint32(payload.length - sizeWord, true),
      moves,
      words64At,
      inverse32At,
      words32At: afterInverse,
    },
  };
}

/** Behind every payload but gzip: src/formats/bzimage/payload.ts. */
const sizeWord = 4;
/** Most of what higher levels save, in a fraction of their time: docs/design.md, "Why LZ4". */
const lz4Level = '-3';
/** Output of one block of a legacy frame, bytes (lz4_Frame_format.md, "Legacy frame"). */
const lz4Block = 8 << 20;
const lz4MagicSize = 4;

/**
 * One LZ4 legacy frame of `bytes`. Its blocks do not depend on each other, so two lz4 processes make one half each;
 * the second half's magic number goes away.
 */
async function compressLegacy(bytes: Uint8Array): Promise<Uint8Array> {
  const middle = alignUp(bytes.length / 2, lz4Block);
  const halves = [bytes.subarray(0, middle), bytes.subarray(middle)].filter((half) => half.length > 0);
  const frames = await Promise.all(
    halves.map((input) => runTool('lz4', ['-l', lz4Level, '-c', '-q', '-'], { input })),
  );
  return Buffer.concat(frames.map((frame, index) => (index === 0 ? frame : frame.subarray(lz4MagicSize))));
}

/**
 * What the entry stub makes of it, without relocation: the kernel's flat image. @param size of that image, bytes
 * Throws `format` for what is not the frame that was written, or what the tool throws.
 */
export async function unpackKernel(
  { bytes, unpacked }: Pick<StoredKernel, 'bytes' | 'unpacked'>,
  size: number,
): Promise<Uint8Array> {
  const data = new ByteView(await runTool('lz4', ['-dc'], { input: bytes }), 'decompressed kernel');
  if (data.length !== unpacked.size) {
    throw new SaveoopsError('format', 'the kernel in the payload does not decompress to what the plan says', {
      where: 'VMLINUX',
      found: `${data.length} bytes`,
      wanted: `${unpacked.size} bytes`,
      hint: 'build the payload again',
    });
  }
  if (unpacked.moves.length === 0) return data.slice(0, size, 'kernel image').bytes;
  const image = ByteWriter.ofSize(size);
  for (const { from, to, size: length } of unpacked.moves)
    image.put(to, data.slice(from, length, 'segment').bytes);
  return image.bytes;
}

/** PART_EDITS. */
export function editsPart(edits: readonly EditedBytes[]): Uint8Array {
  const sizes = edits.map(({ before }) => editSize(before.length));
  const part = ByteWriter.ofSize(sizes.reduce((sum, size) => sum + size, 0));
  let at = 0;
  edits.forEach(({ offset, before, after }, index) => {
    part.u32(at + editField('offset'), offset);
    part.u32(at + editField('size'), before.length);
    part.put(at + editHead, before);
    part.put(at + editHead + before.length, after);
    at += sizes[index] ?? 0;
  });
  return part.bytes;
}

/** The reverse. Throws `truncated`. */
export function readEdits(part: Uint8Array): readonly Omit<EditedBytes, 'what'>[] {
  const view = new ByteView(part, 'edits');
  const edits: Omit<EditedBytes, 'what'>[] = [];
  for (let at = 0; at < view.length;) {
    const offset = view.u32(at + editField('offset'), 'edit');
    const size = view.u32(at + editField('size'), 'edit');
    edits.push({
      offset,
      before: view.slice(at + editHead, size, 'edit').bytes,
      after: view.slice(at + editHead + size, size, 'edit').bytes,
    });
    at += editSize(size);
  }
  return edits;
}

const editHead = structSize(editDef);
const editField = (name: string): number => offsetOf(editDef, name);
/** Of one edit of `size` bytes with what was and what becomes of it. */
const editSize = (size: number): number => alignUp(editHead + 2 * size, 4);
