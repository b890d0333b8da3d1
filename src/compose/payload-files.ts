/** The files of a payload folder: their names, and the configuration template. */
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const payloadFile = 'saveoops.c32';
export const manifestFile = 'saveoops.json';
/** The composed image alone, for other loaders. */
export const imageFile = 'saveoops.bzimage';
export const configFile = 'syslinux.cfg';
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
  const own = [payloadFile, manifestFile, configFile, 'ldlinux.c32', captureFile];
  const taken = new Set([...own, ...others].map((name) => name.toLowerCase()));
  return paths.map((path) => {
    const plain = basename(path).replace(/[^A-Za-z0-9._+-]/g, '_');
    let free = plain;
    for (let i = 2; taken.has(free.toLowerCase()); i++) free = `${i}-${plain}`;
    taken.add(free.toLowerCase());
    return free;
  });
}
