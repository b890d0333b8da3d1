/**
 * The independent check of the kernel that a payload arms: what is stored is decompressed, as the entry stub does it, and must hold what
 * each edit says that is there; and the edits are those that the manifest declares.
 */
import { ByteView } from '../bytes/byte-reader.js';
import { SaveoopsError } from '../errors.js';
import { maxMoves, moveDef, offsetOf, planDef, structSize } from '../stubs/shared-layout.js';
import { isHeaderEdit } from './header-editor.js';
import { readEdits, unpackKernel, type UnpackedLayout } from './stored-kernel.js';
import type { PayloadParts } from './take-apart.js';

/**
 * @param source names the payload, for errors
 * Throws `format` where the kernel or the manifest does not fit the edits, `truncated`, or what lz4 throws.
 */
export async function checkEdits(
  { image, manifest }: Pick<PayloadParts, 'image' | 'manifest'>,
  source: string,
): Promise<void> {
  const plan = new ByteView(image.plan.bytes, `${source}: plan`);
  const number = (name: string): number => plan.size64(offsetOf(planDef, name), name);
  const start = plan.u64(offsetOf(planDef, 'link_text'), 'link_text');
  const edits = readEdits(image.parts.EDITS.bytes);
  const stored = { bytes: image.parts.VMLINUX.bytes, unpacked: unpackedLayout(plan) };
  const kernel = new ByteView(await unpackKernel(stored, number('flat_size')), `${source}: kernel`);
  const declared = manifest.edits.filter((edit) => !isHeaderEdit(edit));
  const shown = edits.map(({ offset, before, after }) => ({
    address: `0x${(start + BigInt(offset)).toString(16)}`,
    before: hex(before),
    after: hex(after),
  }));
  const wanted = declared.map(({ address, before, after }) => ({ address, before, after }));
  if (JSON.stringify(shown) !== JSON.stringify(wanted)) {
    throw wrong(source, 'other edits of the kernel than the manifest declares', 'those of the manifest');
  }
  edits.forEach(({ offset, before }, index) => {
    const there = hex(kernel.slice(offset, before.length, 'edit').bytes);
    if (there !== hex(before)) throw wrong(`${source}, ${declared[index]?.what ?? ''}`, there, hex(before));
  });
}

function unpackedLayout(plan: ByteView): UnpackedLayout {
  const number = (name: string): number => plan.size64(offsetOf(planDef, name), name);
  const moves = Array.from({ length: maxMoves }, (_, index) => {
    const at = offsetOf(planDef, 'move') + index * structSize(moveDef);
    const field = (name: string): number => plan.size64(at + offsetOf(moveDef, name), name);
    return { from: field('from'), to: field('to'), size: field('size') };
  });
  return {
    size: number('unpacked_size'),
    moves: moves.filter(({ size }) => size > 0),
    words64At: number('relocs_64_at'),
    inverse32At: number('relocs_inverse_32_at'),
    words32At: number('relocs_32_at'),
  };
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

function wrong(where: string, found: string, wanted: string): SaveoopsError {
  return new SaveoopsError('format', 'the payload would not arm its kernel as declared', {
    where,
    found,
    wanted,
    hint: 'build the payload again',
  });
}
