/** A disk with one file that firmware starts, as any EFI application: for the composed image without a boot loader. */
import { rm, truncate, writeFile } from 'node:fs/promises';
import { withTemporaryFolder } from '../../src/host/files.js';
import type { ScenarioResult } from '../../src/machine/scenario.js';
import { join } from 'node:path';
import { bootFrom, type RunOptions } from './boot.js';
import { host } from './disks.js';

/** Bytes: FAT32 wants 33 MiB, and a composed image of two kernels takes 60. */
const espSize = 256 << 20;

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

/** Boots such a disk. */
export async function bootEsp(files: readonly EspFile[], options: RunOptions = {}): Promise<ScenarioResult> {
  return await withTemporaryFolder(async (folder) => {
    const image = join(folder, 'esp.img');
    await makeEsp(image, files);
    try {
      return await bootFrom({ kind: 'disk', image }, { firmware: 'uefi', ...options });
    } finally {
      await rm(image, { force: true });
    }
  });
}

/** By the firmware's shell, which gives the file a command line. Without one: by the name that firmware looks for. */
export async function bootEfiFile(
  file: string,
  cmdline: string | undefined,
  options: RunOptions = {},
): Promise<ScenarioResult> {
  return await bootEsp(
    cmdline === undefined
      ? [{ path: 'EFI/BOOT/BOOTX64.EFI', source: file }]
      : [
          { path: 'kernel.efi', source: file },
          { path: 'startup.nsh', source: { text: `fs0:\r\nkernel.efi ${cmdline}\r\n` } },
        ],
    options,
  );
}
