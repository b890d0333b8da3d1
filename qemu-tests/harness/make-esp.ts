/** An EFI system partition as a disk image of its own, without a partition table. */
import { truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { withTemporaryFolder } from '../../src/host/files.js';
import { host } from './disks.js';

/** Bytes: FAT32 wants 33 MiB, and a composed image of two kernels takes 60. */
export const espSize = 256 << 20;

/** Where firmware looks for what to start on a disk. */
export const startedFile = 'EFI/BOOT/BOOTX64.EFI';

export interface EspFile {
  /** From the file system's root: "EFI/BOOT/BOOTX64.EFI". */
  readonly path: string;
  /** On the host, or a text. */
  readonly source: string | { readonly text: string };
}

/** Fills `image` with a FAT32 file system and `files`. */
export async function makeEsp(image: string, files: readonly EspFile[]): Promise<void> {
  await writeFile(image, '');
  await truncate(image, espSize);
  host('mformat', ['-i', image, '-F', '::']);
  const folders = new Set(
    files.flatMap(({ path }) =>
      path.split('/').flatMap((_, i, all) => (i === 0 ? [] : [all.slice(0, i).join('/')])),
    ),
  );
  for (const folder of folders) host('mmd', ['-i', image, `::/${folder}`]);
  for (const { path, source } of files) {
    if (typeof source === 'string') {
      host('mcopy', ['-i', image, source, `::/${path}`]);
      continue;
    }
    await withTemporaryFolder(async (folder) => {
      await writeFile(join(folder, 'text'), source.text);
      host('mcopy', ['-i', image, join(folder, 'text'), `::/${path}`]);
    });
  }
}
