/** The folder that `saveoops build` wrote: what `image` and `test` take from it. */
import { readdir, writeFile } from 'node:fs/promises';
import { basename, join, posix } from 'node:path';
import { SaveoopsError } from '../errors.js';
import { readInput } from '../host/files.js';
import { exists } from '../host/presence.js';
import { manifestBytes } from '../payload/com32-file.js';
import type { Manifest } from '../payload/manifest.js';
import { parseManifest } from '../payload/parse-manifest.js';
import { efiConfig, parseBootConfig, type BootConfig } from './boot-config.js';
import type { ImageFile } from './image-files.js';

const payloadFile = 'saveoops.c32';
const manifestFile = 'saveoops.json';
const aManifest = 'a manifest that saveoops build wrote';

export interface PayloadFolder {
  readonly folder: string;
  readonly configText: string;
  readonly config: BootConfig;
  /** Everything a medium needs: payload, configuration, manifest, modules, and each file the configuration names. */
  readonly files: readonly ImageFile[];
}

/**
 * Reads a payload folder. Throws `file` when DIR, saveoops.c32, syslinux.cfg or a file named in the configuration
 * is missing, `format` for files of two builds, `unsupported` when the configuration names a file outside DIR.
 */
export async function readPayloadFolder(folder: string): Promise<PayloadFolder> {
  await requireFiles(folder, [payloadFile, 'syslinux.cfg']);
  const configText = new TextDecoder().decode(
    await readInput(join(folder, 'syslinux.cfg'), 'a Syslinux configuration'),
  );
  const config = parseBootConfig(configText);
  const modules = (await readdir(folder)).filter((name) => /\.(c32|cfg)$/.test(name));
  const named = config.files.map((file) => nameInFolder(folder, file));
  await requireFiles(folder, named, 'named in syslinux.cfg');
  const manifest = (await exists(join(folder, manifestFile))) ? [manifestFile] : [];
  if (manifest.length > 0) await requireOneBuild(folder);
  const names = [...new Set([payloadFile, 'syslinux.cfg', ...manifest, ...modules.sort(), ...named])];
  // Where the media are made ldlinux.c32 comes from the installer, of the same version as the boot loader.
  const own = names.filter((name) => !/^ldlinux\.(c32|e64)$/i.test(name));
  return { folder, configText, config, files: own.map((name) => ({ name, source: join(folder, name) })) };
}

/**
 * The files with another configuration, for both kinds of firmware.
 * @param into folder for the two files that it is written to
 */
export async function withConfig(
  files: readonly ImageFile[],
  text: string,
  into: string,
): Promise<readonly ImageFile[]> {
  const texts = new Map([
    ['syslinux.cfg', text],
    ['syslx64.cfg', efiConfig(text)],
  ]);
  return await Promise.all(
    files.map(async (file) => {
      const own = texts.get(file.name);
      if (own === undefined) return file;
      const source = join(into, file.name);
      await writeFile(source, own);
      return { name: file.name, source };
    }),
  );
}

/** Reads saveoops.json. Throws `file` when it is missing, `format` when it is not a manifest of this version. */
export async function readManifest(folder: string): Promise<Manifest> {
  const path = join(folder, manifestFile);
  await requireFiles(folder, [manifestFile]);
  return parseManifest(Buffer.from(await readInput(path, aManifest)).toString(), path);
}

/**
 * A run that was killed between two of its files, or two runs at once, leave files that do not belong together: build
 * writes the payload first and the manifest last. Throws `format`.
 */
async function requireOneBuild(folder: string): Promise<void> {
  const path = join(folder, payloadFile);
  const [payload, manifest] = await Promise.all([
    readInput(path, 'a payload'),
    readInput(join(folder, manifestFile), aManifest),
  ]);
  let own: Uint8Array;
  try {
    own = manifestBytes(payload, path);
  } catch (error) {
    // Damage is for the loader to find: it boots the plain kernel then.
    if (error instanceof SaveoopsError) return;
    throw error;
  }
  if (Buffer.compare(own, manifest) === 0) return;
  throw new SaveoopsError('format', 'the files of the payload are of two builds', {
    where: folder,
    found: `a ${manifestFile} that is not the one inside ${payloadFile}`,
    wanted: 'what one run of saveoops build has written',
    hint: `build the payload again; for one that was repacked to a file: saveoops inspect --json ${path} >${join(folder, manifestFile)}`,
  });
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
