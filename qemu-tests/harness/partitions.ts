/** Disks with partitions, each an EFI system partition or something like it. No root rights. */
import { truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { withTemporaryFolder } from '../../src/host/files.js';
import { host, mtoolsNames } from './disks.js';
import { espSize, makeEsp, type EspFile } from './make-esp.js';

const sector = 512;

export interface Partition {
  /** Its place in the table, from 1; default: the next. */
  readonly place?: number;
  /** First sector of 512 bytes; all have the size of makeEsp()'s images. */
  readonly start: number;
  /** What sfdisk is told beside: its type, uuid. */
  readonly words: string;
  /** Default: no file system. */
  readonly files?: readonly EspFile[];
}

/** A disk whose partition table sfdisk writes. @param header what its script begins with: label, label-id */
export async function makeDisk(
  image: string,
  header: readonly string[],
  partitions: readonly Partition[],
): Promise<void> {
  const end = Math.max(...partitions.map(({ start }) => start)) * sector + espSize;
  await writeFile(image, '');
  await truncate(image, end + (1 << 20));
  const lines = partitions.map(
    ({ place, start, words }) =>
      `${place === undefined ? '' : `${image}${place} : `}start=${start}, size=${espSize / sector}, ${words}`,
  );
  host('sfdisk', ['--quiet', image], Buffer.from([...header, '', ...lines, ''].join('\n')));
  await withTemporaryFolder(async (folder) => {
    const content = join(folder, 'content');
    for (const { start, files } of partitions) {
      if (files === undefined) continue;
      await makeEsp(content, files);
      putPartition(image, start, content);
    }
  });
}

/** Copies a file system's image to where a partition begins. */
export function putPartition(image: string, start: number, content: string): void {
  host('dd', [`if=${content}`, `of=${image}`, `bs=${sector}`, `seek=${start}`, 'conv=sparse,notrunc']);
}

/** The logs of all captures on a FAT that begins at a sector, read by mtools. */
export function savedLogs(image: string, start: number): readonly string[] {
  const drive = `${image}@@${start * sector}`;
  if (!mtoolsNames(drive, '').includes('saveoops')) return [];
  return mtoolsNames(drive, 'saveoops')
    .filter((name) => name !== '' && name !== 'in-a-row')
    .map((name) => host('mtype', ['-i', drive, `::/saveoops/${name}/dmesg.txt`]));
}

/** QEMU options that plug a drive in. */
export function virtioDisk(drive: string, bootIndex: number): readonly string[] {
  return ['-device', `virtio-blk-pci,drive=${drive},bootindex=${bootIndex}`];
}
