/**
 * A raw disk image that any PC BIOS boots: MBR, one FAT partition, Syslinux, files in /syslinux. UEFI boots the same
 * partition by /EFI/BOOT/BOOTX64.EFI, which is syslinux.efi and finds its configuration in /syslinux, too. Made with
 * mtools and Debian's `syslinux --offset`, so no root rights and no loop device are needed.
 */
import { createHash } from 'node:crypto';
import { open, truncate } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { permissionsOf, readInput } from '../host/files.js';
import { runTool } from '../host/run-tool.js';
import { SaveoopsError } from '../errors.js';
import {
  fatGeometry,
  partitionStart,
  roomForCaptures,
  sectorSize,
  type FatGeometry,
} from './fat-geometry.js';
import {
  reproducibleEnvironment,
  requireUnchanged,
  sizeImageFiles,
  type ImageFile,
  type SizedImageFile,
} from './image-files.js';
import { makeFat, type FatFile } from './make-fat.js';
import { renameWhenDone } from './rename-when-done.js';
import { diskImageNeeds, efiNeeds, requireOnHost, syslinuxFiles } from './requirements.js';

/** Bytes of code in an MBR; the disk signature and the partition table follow (440, 446, 510). */
const mbrCodeSize = 440;

export interface MadeImage {
  /** Bytes. */
  readonly size: number;
  readonly fileSystem: 'FAT16' | 'FAT32' | 'ISO 9660';
}

interface DiskPlan extends MadeImage {
  readonly sized: readonly SizedImageFile[];
  readonly efi: boolean;
  readonly geometry: FatGeometry;
}

/** Everything about the image that is known before a byte of it is written. Throws as makeDiskImage does. */
async function plan(files: readonly ImageFile[]): Promise<DiskPlan> {
  const efi = bootsByEfi(files);
  await requireOnHost([...diskImageNeeds, ...(efi ? efiNeeds : [])]);
  const sized = await sizeImageFiles(files);
  const sizes = sized.map((file) => file.size);
  const geometry = fatGeometry(sizes, roomForCaptures);
  const size = (partitionStart + geometry.partitionSectors) * sectorSize;
  return { sized, efi, geometry, size, fileSystem: geometry.bits === 16 ? 'FAT16' : 'FAT32' };
}

/** What makeDiskImage would make. Throws as it does, but for what goes wrong in writing. */
export async function planDiskImage(files: readonly ImageFile[]): Promise<MadeImage> {
  const { size, fileSystem } = await plan(files);
  return { size, fileSystem };
}

/**
 * Writes a disk image with `files` to `out`; the same files give the same bytes. Throws `tool` (missing package or
 * failed tool), `usage`, `file`, `no-space`. An older `out` stays as it was on failure.
 */
export async function makeDiskImage(files: readonly ImageFile[], out: string): Promise<MadeImage> {
  const { sized, efi, geometry, size, fileSystem } = await plan(files);
  const id = volumeId(sized);
  const mode = await permissionsOf(sized.map(({ source }) => source));
  await renameWhenDone(out, mode, async (temporary) => {
    await writePartitionTable(temporary, geometry, id, size);
    await makeFat(temporary, { start: partitionStart, geometry, id }, syslinuxLayout(sized, efi));
    const offset = String(partitionStart * sectorSize);
    const drive = { env: reproducibleEnvironment, cwd: dirname(temporary), silent: true };
    await runTool(
      'syslinux',
      ['--install', '--offset', offset, '--directory', '/syslinux', basename(temporary)],
      drive,
    );
    await requireUnchanged(sized);
  });
  return { size, fileSystem };
}

/**
 * The volume's serial number and the disk's signature: not random, so that images are reproducible, and not one
 * constant, because two disks of one signature in a machine confuse whatever mounts by it.
 */
function volumeId(files: readonly SizedImageFile[]): number {
  const hash = createHash('sha256');
  for (const file of files) hash.update(`${file.name}\0${file.size}\0`);
  return hash.digest().readUInt32LE(0);
}

async function writePartitionTable(
  path: string,
  geometry: FatGeometry,
  id: number,
  size: number,
): Promise<void> {
  const code = await readInput(syslinuxFiles.mbr, 'the MBR of syslinux-common');
  if (code.length > mbrCodeSize) {
    throw new SaveoopsError('format', 'the Syslinux MBR is too long', {
      where: syslinuxFiles.mbr,
      found: `${code.length} bytes`,
      wanted: `at most ${mbrCodeSize} bytes, before the partition table`,
    });
  }
  const sector = Buffer.alloc(sectorSize);
  sector.set(code);
  sector.writeUInt32LE(id, 440);
  // One entry: active; FAT16 or FAT32 by LBA; the CHS fields say "beyond CHS", as fdisk writes them.
  const type = geometry.bits === 16 ? 0x0e : 0x0c;
  sector.set([0x80, 0xfe, 0xff, 0xff, type, 0xfe, 0xff, 0xff], 446);
  sector.writeUInt32LE(partitionStart, 454);
  sector.writeUInt32LE(geometry.partitionSectors, 458);
  sector.writeUInt16LE(0xaa55, 510);
  const file = await open(path, 'r+');
  try {
    await file.write(sector, 0, sector.length, 0);
    // Sparse: space that no file uses costs nothing on the host.
    await file.truncate(size);
  } finally {
    await file.close();
  }
}

/** Whether the files hold the module for UEFI. */
export function bootsByEfi(files: readonly ImageFile[]): boolean {
  return files.some(({ name }) => name === 'saveoops-efi.c32');
}

/**
 * An EFI system partition alone, in a file that exists: what an ISO image holds for UEFI.
 * Throws `tool`, `usage`, `file`, `no-space`.
 */
export async function makeEfiPartition(path: string, files: readonly ImageFile[]): Promise<void> {
  await requireOnHost(efiNeeds);
  const sized = await sizeImageFiles(files);
  const geometry = fatGeometry(
    sized.map((file) => file.size),
    0,
  );
  await truncate(path, geometry.partitionSectors * sectorSize);
  await makeFat(path, { start: 0, geometry, id: volumeId(sized) }, syslinuxLayout(sized, true));
}

/** Where Syslinux looks, and with `efi` firmware: paths from the root of the file system. */
function syslinuxLayout(files: readonly ImageFile[], efi: boolean): readonly FatFile[] {
  return [
    ...files.map(({ name, source }) => ({ path: `syslinux/${name}`, source })),
    ...(efi
      ? [
          { path: 'EFI/BOOT/BOOTX64.EFI', source: syslinuxFiles.efi },
          { path: 'EFI/BOOT/ldlinux.e64', source: syslinuxFiles.ldlinuxEfi },
        ]
      : []),
  ];
}
