/**
 * A disk that starts the composed image by a boot loader for UEFI, as that loader starts any kernel: one FAT file system, the
 * loader as /EFI/BOOT/BOOTX64.EFI. docs/loaders.md has what each was measured with.
 */
import { truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { shellWord } from '../host/shell-word.js';
import type { EfiLoader } from './efi-loaders.js';
import { fatGeometry, sectorSize } from './fat-geometry.js';
import { sizeImageFiles, type ImageFile } from './image-files.js';
import { makeFat, type FatFile } from './make-fat.js';
import { mtoolsNeeds, requireOnHost, type Requirement } from './requirements.js';

/** What the loader is given. */
export interface KernelBoot {
  /** The composed image, a file. */
  readonly image: string;
  /** Files, in order. */
  readonly initrds: readonly string[];
  readonly commandLine: string;
}

interface LoaderFiles {
  /** Loader on this host; undefined: firmware does the work. */
  readonly loader: (Requirement & { readonly file: string }) | undefined;
  /** Its configuration, from the root of the file system. */
  readonly configPath: string;
  /** @param initrds names in the root of the file system; the image is /saveoops.efi there */
  readonly config: (commandLine: string, initrds: readonly string[]) => string;
}

const imageName = 'saveoops.efi';

const loaders: Readonly<Record<EfiLoader, LoaderFiles>> = {
  firmware: {
    loader: undefined,
    configPath: 'startup.nsh',
    config: (commandLine, initrds) => {
      // The kernel's EFI stub reads them.
      const words = [commandLine, ...initrds.map((name) => `initrd=\\${name}`)].join(' ');
      // What the shell would take for its own (UEFI Shell 2.2, 3.6): ^ takes that from it.
      return `fs0:\r\n${imageName} ${words.replace(/[#%^<>|"]/g, '^$&')}\r\n`;
    },
  },
  grub: {
    // The one with modules and prefix inside; it reads /EFI/debian/grub.cfg of the file system that it was started from.
    loader: {
      package: 'grub-efi-amd64-bin',
      file: '/usr/lib/grub/x86_64-efi/monolithic/grubx64.efi',
    },
    configPath: 'EFI/debian/grub.cfg',
    config: (commandLine, initrds) =>
      [
        `search --file --set=root /${imageName}`,
        `linux /${imageName} ${commandLine.split(/\s+/).map(shellWord).join(' ')}`,
        ...(initrds.length === 0 ? [] : [`initrd ${initrds.map((name) => `/${name}`).join(' ')}`]),
        ...['boot', ''],
      ].join('\n'),
  },
  'systemd-boot': {
    loader: {
      package: 'systemd-boot-efi',
      file: '/usr/lib/systemd/boot/efi/systemd-bootx64.efi',
    },
    configPath: 'loader/entries/saveoops.conf',
    config: (commandLine, initrds) =>
      [
        ...['title Saveoops', `linux /${imageName}`, `options ${commandLine}`],
        ...[...initrds.map((name) => `initrd /${name}`), ''],
      ].join('\n'),
  },
};

/** What makes a disk with that loader. */
export function loaderNeeds(name: EfiLoader): readonly Requirement[] {
  const { loader } = loaders[name];
  return [...mtoolsNeeds, ...(loader === undefined ? [] : [loader])];
}

/**
 * Writes a disk to `out`. @param folder for the configuration that it makes
 * Throws `tool` for a loader that is not installed, with its Debian package, `file`, `usage`, `no-space`.
 */
export async function makeEfiDisk(
  name: EfiLoader,
  { image, initrds, commandLine }: KernelBoot,
  out: string,
  folder: string,
): Promise<void> {
  await requireOnHost(loaderNeeds(name));
  const { loader, configPath, config } = loaders[name];
  const configFile = join(folder, 'loader-config');
  const kernel: ImageFile[] = [
    { name: imageName, source: image },
    ...initrds.map((source, index) => ({ name: `initrd-${index}`, source })),
  ];
  const names = kernel.slice(1).map((file) => file.name);
  await writeFile(configFile, config(commandLine, names));
  const files: FatFile[] = [
    ...(loader === undefined ? [] : [{ path: 'EFI/BOOT/BOOTX64.EFI', source: loader.file }]),
    { path: configPath, source: configFile },
    ...kernel.map((file) => ({ path: file.name, source: file.source })),
  ];
  const sized = await sizeImageFiles([
    ...kernel,
    ...(loader === undefined ? [] : [{ name: 'loader', source: loader.file }]),
  ]);
  const geometry = fatGeometry(
    sized.map(({ size }) => size),
    0,
  );
  await writeFile(out, '');
  await truncate(out, geometry.partitionSectors * sectorSize);
  await makeFat(out, { start: 0, geometry, id: 0x5a7e_0095 }, files);
}
