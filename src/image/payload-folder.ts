/** The folder that `saveoops build` wrote: what `image` and `test` take from it. */
import { readdir, stat } from 'node:fs/promises';
import { basename, join, posix } from 'node:path';
import { SaveoopsError } from '../errors.js';
import { readInput } from '../host/files.js';
import type { Manifest } from '../payload/manifest.js';
import { parseBootConfig, type BootConfig } from './boot-config.js';
import type { ImageFile } from './image-files.js';

export interface PayloadFolder {
  readonly folder: string;
  readonly configText: string;
  readonly config: BootConfig;
  /** Everything a medium needs: payload, configuration, manifest, modules, and each file the configuration names. */
  readonly files: readonly ImageFile[];
}

/**
 * Reads a payload folder. Throws `file` when DIR, saveoops.c32, syslinux.cfg or a file named in the configuration
 * is missing, `unsupported` when the configuration names a file outside DIR.
 */
export async function readPayloadFolder(folder: string): Promise<PayloadFolder> {
  await requireFiles(folder, ['saveoops.c32', 'syslinux.cfg']);
  const configText = new TextDecoder().decode(
    await readInput(join(folder, 'syslinux.cfg'), 'a Syslinux configuration'),
  );
  const config = parseBootConfig(configText);
  const modules = (await readdir(folder)).filter((name) => name.endsWith('.c32') || name.endsWith('.cfg'));
  const named = config.files.map((file) => nameInFolder(folder, file));
  await requireFiles(folder, named, 'named in syslinux.cfg');
  const manifest = (await exists(join(folder, 'saveoops.json'))) ? ['saveoops.json'] : [];
  const names = [...new Set(['saveoops.c32', 'syslinux.cfg', ...manifest, ...modules.sort(), ...named])];
  // Where the media are made ldlinux.c32 comes from the installer, of the same version as the boot loader.
  const own = names.filter((name) => name.toLowerCase() !== 'ldlinux.c32');
  return { folder, configText, config, files: own.map((name) => ({ name, source: join(folder, name) })) };
}

/**
 * Reads and checks saveoops.json as far as `test` relies on it. Throws `file` when it is missing, `format` when it
 * is not a manifest of this version.
 */
export async function readManifest(folder: string): Promise<Manifest> {
  const path = join(folder, 'saveoops.json');
  await requireFiles(folder, ['saveoops.json']);
  const text = new TextDecoder().decode(await readInput(path, 'a manifest that saveoops build wrote'));
  const refuse = (found: string, cause?: unknown): SaveoopsError =>
    new SaveoopsError('format', 'not a Saveoops manifest', {
      where: path,
      found,
      wanted: 'format 1, with primary.kernelFile, primary.append and the debug offsets',
      hint: 'build the payload again',
      cause,
    });
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw refuse(error instanceof Error ? error.message : String(error), error);
  }
  const top = record(value);
  const primary = record(top['primary']);
  const debug = record(top['debug']);
  if (top['format'] !== 1) throw refuse(`format ${JSON.stringify(top['format'])}`);
  for (const key of ['kernelFile', 'append']) {
    if (typeof primary[key] !== 'string') throw refuse(`primary.${key} is ${JSON.stringify(primary[key])}`);
  }
  for (const key of ['stub', 'leaveImage', 'enterKernel']) {
    if (!Number.isSafeInteger(debug[key])) throw refuse(`debug.${key} is ${JSON.stringify(debug[key])}`);
  }
  return value as Manifest;
}

function record(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}

/** Syslinux resolves names from its own folder; media hold one folder only. */
function nameInFolder(folder: string, file: string): string {
  const name = posix.normalize(file);
  if (name === basename(name) && name !== '..') return name;
  throw new SaveoopsError('unsupported', `syslinux.cfg names a file outside its folder`, {
    where: join(folder, 'syslinux.cfg'),
    found: file,
    wanted: 'names of files that lie beside syslinux.cfg',
    hint: 'copy the file there and name it without folders',
  });
}

async function requireFiles(folder: string, names: readonly string[], why?: string): Promise<void> {
  for (const name of names) {
    if (await exists(join(folder, name))) continue;
    throw new SaveoopsError('file', `${folder} has no ${name}`, {
      where: folder,
      found: (await exists(folder))
        ? `no file ${name}${why === undefined ? '' : ` (${why})`}`
        : 'no such folder',
      wanted: 'a folder that saveoops build wrote',
      hint: `saveoops build --kernel FILE --out ${folder}`,
    });
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch {
    return false;
  }
}
