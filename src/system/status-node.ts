/**
 * The status node that the entry stub leaves in setup_data (docs/protocol.md): tells a running system whether it is
 * armed, or why not.
 */
import { ByteView } from '../bytes/byte-reader.js';
import { SaveoopsError } from '../errors.js';

/** Type of the setup_data node: "SAVE". */
export const statusNodeType = 0x53415645;
const layoutVersion = 2;

/** Offsets and sizes in bytes, little-endian: version u32 at 0, reason u32 at 4, region size u64 at 8, boot watchdog u32 at 16. */
const size = 24;

export interface StatusNode {
  /** 0: armed; else the number of a message in docs/messages.md. */
  readonly reason: number;
  /** Of the crash region, bytes; 0 when not armed. */
  readonly regionSize: number;
  /** Seconds of the boot watchdog that the entry stub has started; 0: none. */
  readonly bootWatchdog: number;
}

/**
 * @param data the node's data, as /sys/kernel/boot_params/setup_data/N/data has it
 * @param where its path, for errors
 * Throws `truncated`, or `unsupported` for a layout of another version of Saveoops.
 */
export function parseStatusNode(data: Uint8Array, where: string): StatusNode {
  const view = new ByteView(data, where);
  const version = view.u32(0, 'version');
  if (version !== layoutVersion) {
    throw new SaveoopsError('unsupported', 'the status node is of another version of Saveoops', {
      where,
      found: `layout version ${version}`,
      wanted: `layout version ${layoutVersion}`,
      hint: 'use the saveoops that built the payload',
    });
  }
  view.slice(0, size, 'status node');
  return {
    reason: view.u32(4, 'reason'),
    regionSize: view.size64(8, 'region size'),
    bootWatchdog: view.u32(16, 'boot watchdog'),
  };
}

/** Why the entry stub does not arm, and what to do: as in docs/messages.md, which a test compares. Those of UEFI alone leave no status node. */
export const unarmedReasons: ReadonlyMap<number, { readonly why: string; readonly advice: string }> = new Map(
  (
    [
      [2, 'the plan in the image is damaged', 'copy the payload again or build it again'],
      [3, 'a part of the payload is damaged', 'copy the payload again or build it again'],
      [4, 'no usable E820 memory map, or it is full', 'nothing on this machine'],
      [5, 'no free RAM below 4 GiB for the crash region', 'build with a smaller --crash-size'],
      [
        6,
        'no free RAM for the kernel beside the crash region',
        'build with a smaller --crash-size, or add RAM',
      ],
      [7, 'mem_encrypt=on is not supported', 'take it off the command line'],
      [8, 'the kernel image does not decompress', 'test the memory of the machine'],
      [9, 'a relocation lies outside the kernel image', 'test the memory of the machine'],
      [
        12,
        'memmap= or mem= on the command line leaves the crash region no reserved memory',
        'leave ranges out with memmap=nn$ss, take less RAM with mem=nn',
      ],
      [13, "the loader's chain of setup_data cannot be followed", 'report the boot loader'],
      [14, 'the kernel image does not hold what the build has found in it', 'test the memory of the machine'],
      [40, 'firmware has no memory below 4 GiB for a copy of the image', 'add RAM'],
      [41, 'firmware does not tell when its boot services end', 'report the machine'],
      [42, 'the kernel that its EFI stub starts was not found in memory', 'report the kernel package'],
    ] as const
  ).map(([number, why, advice]) => [number, { why, advice }]),
);

/** Message E33 of the hook, and what a system that would get it is told. */
export const resumedReason = 33;
export const resumedAdvice = {
  why: 'this system came back from hibernation, and the crash region is of another boot',
  advice: 'restart',
} as const;
