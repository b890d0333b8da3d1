/** The files of a payload folder: their names, and the configuration template. */
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** What `build` writes; bzimage and efi: the composed image alone, which every loader of kernels starts. */
export const buildFormats = ['com32', 'bzimage', 'efi'] as const;
export type BuildFormat = (typeof buildFormats)[number];
/** Names of the composed image when it is written alone. */
export const imageFiles: Readonly<Partial<Record<BuildFormat, string>>> = {
  bzimage: 'saveoops.bzimage',
  efi: 'saveoops.efi',
};

export const payloadFile = 'saveoops.c32';
/** The COM32 module for UEFI: it reads the payload beside it. */
export const efiModuleFile = 'saveoops-efi.c32';
export const manifestFile = 'saveoops.json';
export const configFile = 'syslinux.cfg';
/** Syslinux for UEFI looks for it before syslinux.cfg (core/fs/lib/loadconfig.c). */
export const efiConfigFile = 'syslx64.cfg';
/** The crash kernel's initramfs as a file, for the entry that boots the crash kernel alone. */
export const captureFile = 'saveoops-capture.img';

export const configTemplate = join(
  fileURLToPath(import.meta.url),
  '../../../../syslinux-config/syslinux.cfg.template',
);

/**
 * Names beside the payload for files at `paths`: what Syslinux can name (no spaces), each once, and none of `others`.
 */
export function namesBeside(paths: readonly string[], others: readonly string[] = []): string[] {
  const own = [
    ...[payloadFile, efiModuleFile, manifestFile, configFile, efiConfigFile],
    ...['ldlinux.c32', 'ldlinux.e64', captureFile],
  ];
  const taken = new Set([...own, ...others].map((name) => name.toLowerCase()));
  return paths.map((path) => {
    const plain = basename(path).replace(/[^A-Za-z0-9._+-]/g, '_');
    let free = plain;
    for (let i = 2; taken.has(free.toLowerCase()); i++) free = `${i}-${plain}`;
    taken.add(free.toLowerCase());
    return free;
  });
}
