/** How much RAM the crash region takes, why, and where its parts lie. */
import { mebibytes } from '../bytes/mebibytes.js';
import { alignDown, alignUp } from '../bytes/align.js';
import { SaveoopsError } from '../errors.js';
import { regionPlaces } from '../stubs/shared-layout.js';

const MiB = 1 << 20;
const largePage = 2 * MiB;
const page = 4096;

/**
 * RAM the crash kernel needs beyond its image and unpacked initramfs: page tables, struct pages, slab, the tools'
 * own memory. `least` is what the smallest region that came up left for it (a stock Debian 6.1 amd64 kernel died
 * below); `usual` is the default: 8 MiB more than a capture with drivers for ten controllers, btrfs and makedumpfile
 * needed (`npm run smallest-region`, docs/capture.md), which keeps that kernel in 128 MiB, kdump's default.
 * Heuristic: --crash-size overrides it.
 */
const workingRoom = { least: 24 * MiB, usual: 40 * MiB } as const;

export interface CrashParts {
  /** Protected-mode part of the crash kernel's bzImage, bytes. */
  readonly kernelSize: number;
  /** init_size of its setup header: RAM from its load address on while it decompresses, bytes. */
  readonly initSize: number;
  readonly initrdSize: number;
  /** What the initramfs takes once unpacked, bytes. */
  readonly unpackedSize: number;
  /** RAM that the entry stub needs at boot beside the crash kernel and its initrd, bytes. */
  readonly scratchSize: number;
}

export interface CrashRegion {
  /** Bytes, a multiple of 2 MiB. */
  readonly size: number;
  /** Offset of the initrd in the region, bytes, page-aligned. */
  readonly initrdOffset: number;
  /** Boot-time scratch memory: offset and size, bytes. */
  readonly workOffset: number;
  readonly workSize: number;
  readonly sum: readonly { readonly what: string; readonly bytes: number }[];
}

/**
 * @param given --crash-size, bytes, or undefined for the computed size
 * Throws `no-space` with the sum when the given size is too small.
 */
export function planCrashRegion(parts: CrashParts, given?: number): CrashRegion {
  const fixed = [
    { what: 'stub, tables, notes, backup of the first 640 KiB', bytes: regionPlaces.CRASH_KERNEL },
    { what: 'crash kernel while it decompresses (init_size)', bytes: alignUp(parts.initSize, largePage) },
    { what: 'capture initramfs as stored', bytes: alignUp(parts.initrdSize, page) },
    { what: 'capture initramfs unpacked', bytes: alignUp(parts.unpackedSize, page) },
  ];
  const total = fixed.reduce((sum, each) => sum + each.bytes, 0);
  const least = alignUp(total + workingRoom.least, largePage);
  const usual = alignUp(total + workingRoom.usual, largePage);
  if (given !== undefined && given < least) throw tooSmall(given, least, usual, fixed);
  const size = alignUp(given ?? usual, largePage);
  const initrdOffset = alignDown(size - parts.initrdSize, page);
  const workOffset = regionPlaces.CRASH_KERNEL + alignUp(parts.kernelSize, page);
  const workSize = initrdOffset - workOffset;
  if (workSize < parts.scratchSize) {
    throw tooSmall(size, alignUp(size + parts.scratchSize - workSize, largePage), usual, [
      ...fixed,
      { what: 'scratch memory at boot', bytes: parts.scratchSize },
    ]);
  }
  const room = { what: 'working room of the crash kernel', bytes: size - total };
  return { size, initrdOffset, workOffset, workSize, sum: [...fixed, room] };
}

function tooSmall(
  given: number,
  least: number,
  usual: number,
  sum: readonly { what: string; bytes: number }[],
): SaveoopsError {
  const terms = [...sum, { what: 'least working room', bytes: workingRoom.least }];
  return new SaveoopsError('no-space', 'the crash region is too small', {
    where: '--crash-size',
    found: mebibytes(given),
    wanted: `at least ${mebibytes(least)}: ${terms.map((term) => `${mebibytes(term.bytes)} ${term.what}`).join(' + ')}`,
    hint: `leave --crash-size out for ${mebibytes(usual)}`,
  });
}
