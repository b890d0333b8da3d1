/**
 * What the kernel's entry looks like in memory: by it the entry stub finds, under UEFI, the copy of the kernel that the
 * kernel's own EFI stub has decompressed and is about to enter (Linux 6.6 and later, and stable kernels since 2024).
 */
import { ByteView } from '../bytes/byte-reader.js';
import type { BzImage } from '../formats/bzimage/parse-bzimage.js';
import type { Kernel } from '../kernel/load-kernel.js';
import { startupPatternSize } from '../stubs/shared-layout.js';

export interface StartupPattern {
  /** Zero where the mask is. */
  readonly bytes: Uint8Array;
  /** 0 for each byte that relocation changes, else 0xff. */
  readonly mask: Uint8Array;
}

/** Throws `truncated` for an entry at the very end of the image. */
export function startupPattern({ image, relocations }: Kernel): StartupPattern {
  const original = new ByteView(image.bytes, image.source).slice(
    image.entryOffset,
    startupPatternSize,
    'startup_64',
  );
  // Low halves of kernel addresses: both differ from the full ones by the same upper half.
  const start = Number(BigInt.asUintN(32, image.virtual + BigInt(image.entryOffset)));
  const mask = new Uint8Array(startupPatternSize).fill(0xff);
  for (const [list, size] of [
    [relocations.words64, 8],
    [relocations.inverse32, 4],
    [relocations.words32, 4],
  ] as const) {
    for (const low of list) {
      const at = low - start;
      for (let i = Math.max(at, 0); i < Math.min(at + size, startupPatternSize); i++) mask[i] = 0;
    }
  }
  return { bytes: original.bytes.map((byte, index) => byte & (mask[index] ?? 0)), mask };
}

/** What such a stub says when it cannot: drivers/firmware/efi/libstub/x86-stub.c. */
const decompressionFails = 'Failed to decompress kernel';

/**
 * Whether the kernel's EFI stub decompresses, by its text: a heuristic, which decides only whether a kernel that was not found in
 * memory is worth a message (E42).
 */
export function stubDecompresses({ protectedMode }: Pick<BzImage, 'protectedMode'>): boolean {
  return Buffer.from(protectedMode.buffer, protectedMode.byteOffset, protectedMode.length).includes(
    decompressionFails,
  );
}
