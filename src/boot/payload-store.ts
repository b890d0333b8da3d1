/**
 * The payloads of an installed system, one folder for each kernel version V in the store, /boot/saveoops:
 *
 *   V       what the armed entry boots
 *   V.old   the payload before it
 *   V.new   being written; never named by a boot loader
 *
 * A folder holds the payload, as the loader boots it (loader.ts), saveoops.json, and update.json: the settings that the payload
 * was built with.
 */
import { constants } from 'node:fs';
import { mkdir, open, readdir, readFile, rename, rm, stat, statfs } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { sha256Hex } from '../bytes/digests.js';
import { mebibytes } from '../bytes/mebibytes.js';
import { payloadFile } from '../compose/payload-files.js';
import { SaveoopsError } from '../errors.js';
import {
  fileError,
  isTemporaryName,
  makeFolder,
  readInput,
  writeAtomic,
  writeNewFile,
} from '../host/files.js';
import { exists } from '../host/presence.js';
import { runTool } from '../host/run-tool.js';
import { readManifest } from '../image/payload-folder.js';
import type { Manifest } from '../payload/manifest.js';

export const settingsFile = 'update.json';

/** Where payloads are that lie beside their kernels. @param boot /boot */
export const storeIn = (boot: string): string => join(boot, 'saveoops');

/** What a run that was killed has left of files that it was writing. Throws `file`, and what readdir() throws. */
export async function removeLeftovers(folder: string): Promise<void> {
  for (const name of await readdir(folder)) if (isTemporaryName(name)) await removeStored(folder, name);
}

/** Makes it when it is not there; leftovers of a killed run go. Throws `file`. */
export async function openStore(store: string): Promise<string> {
  try {
    await makeFolder(store);
    await removeLeftovers(store);
    return store;
  } catch (error) {
    throw fileError(store, 'a place that can be written', error);
  }
}

export interface StoredPayload {
  readonly manifest: Manifest;
  /** Text of update.json. */
  readonly settings: string;
}

/** undefined: there is none, or one that cannot be read, which is worth as much. */
export async function readStored(store: string, name: string): Promise<StoredPayload | undefined> {
  try {
    const manifest = await readManifest(join(store, name));
    const settings = await readFile(join(store, name, settingsFile), 'utf8');
    return { manifest, settings };
  } catch {
    return undefined;
  }
}

/**
 * How well a payload fits the files that are in /boot now: `all`, the same kernel and initramfs; `kernel`, the same
 * kernel, so that the modules on the root file system are its own, with an older initramfs; `nothing`.
 */
export async function fitOf(
  { manifest }: StoredPayload,
  digest: (role: 'kernel' | 'initrd') => Promise<string | undefined>,
): Promise<'all' | 'kernel' | 'nothing'> {
  const { primary, regions } = manifest;
  if (primary.sha256 !== (await digest('kernel'))) return 'nothing';
  // Beside the payload it is a file that the entry names: always the present one.
  if (primary.initrdBeside) return 'all';
  const embedded = regions.find(({ name }) => name === 'initrd-0')?.sha256;
  return embedded === (await digest('initrd')) ? 'all' : 'kernel';
}

/** Of files that this process has digested: by path, and by what changes with every write. */
const digested = new Map<string, string>();

/**
 * SHA-256 of a file, hex. An update asks three times for each kernel and initramfs in /boot: what has not changed since is not
 * read again. Throws `file`.
 */
export async function digestFile(path: string): Promise<string> {
  const version = await stat(path, { bigint: true }).catch(() => undefined);
  const key =
    version && [path, version.dev, version.ino, version.size, version.mtimeNs, version.ctimeNs].join();
  const known = key === undefined ? undefined : digested.get(key);
  if (known !== undefined) return known;
  const found = sha256Hex(await readInput(path, 'a file that payloads are made of'));
  if (key !== undefined) digested.set(key, found);
  return found;
}

export interface NewFile {
  readonly name: string;
  readonly chunks: readonly Uint8Array[];
}

/**
 * Writes V.new and sees it onto the disk. When there is no room for all of it beside what is there, V.old goes.
 * Throws `no-space` before anything is written, or `file`.
 * @param secret name of the file that only root can read: an initramfs may hold secrets, and a payload may hold an initramfs
 */
export async function writeNew(
  store: string,
  version: string,
  files: readonly NewFile[],
  secret: string,
): Promise<void> {
  const folder = join(store, `${version}.new`);
  await removeStored(store, `${version}.new`);
  if ((await freeBytes(store)) < bytesOf(files) + slack) await removeStored(store, `${version}.old`);
  requireRoom(store, await freeBytes(store), files);
  try {
    await mkdir(folder);
    for (const { name, chunks } of files) {
      await writeNewFile(join(folder, name), { chunks, mode: name === secret ? 0o600 : 0o644 });
    }
    await syncFolder(folder);
    await syncFolder(store);
  } catch (error) {
    throw fileError(folder, 'a place that can be written', error);
  }
}

/** Throws `no-space` when writeNew() would, and writes nothing. The store need not be there yet. */
export async function requireRoomFor(
  store: string,
  version: string,
  files: readonly NewFile[],
): Promise<void> {
  let free = await freeBytes(await nearestFolder(store));
  for (const name of [`${version}.new`, `${version}.old`]) {
    const folder = join(store, name);
    for (const file of await readdir(folder).catch(() => [])) free += (await stat(join(folder, file))).size;
  }
  requireRoom(store, free, files);
}

function requireRoom(store: string, free: number, files: readonly NewFile[]): void {
  const need = bytesOf(files) + slack;
  if (free >= need) return;
  // For other loaders the initramfs is in no payload.
  const holdsInitrd = files.some(({ name }) => name === payloadFile);
  throw new SaveoopsError('no-space', 'no room for the new payload', {
    where: store,
    found: `${mebibytes(free)} free`,
    wanted: `${mebibytes(need)}: it is written and checked before the one before it goes`,
    hint: `remove a kernel that is not needed${holdsInitrd ? ', or set initrd-beside: true' : ''}`,
  });
}

async function nearestFolder(path: string): Promise<string> {
  return (await exists(path)) || path === dirname(path) ? path : await nearestFolder(dirname(path));
}

/** Makes the kernel forget a file's pages, so that the next read comes from the disk: coreutils' dd, "nocache". */
export async function forgetCached(file: string): Promise<void> {
  await runTool('dd', [`if=${file}`, 'iflag=nocache', 'count=0', 'status=none']);
}

/** V becomes V.old, V.new becomes V. Between the two there is no V: no menu may name it then. Throws `file`. */
export async function promote(store: string, version: string): Promise<void> {
  const folder = join(store, version);
  try {
    await removeStored(store, `${version}.old`);
    await rename(folder, `${folder}.old`).catch((error: unknown) => {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    });
    await rename(`${folder}.new`, folder);
    await syncFolder(store);
  } catch (error) {
    throw fileError(folder, 'a place that can be written', error);
  }
}

/** Throws `file`. */
export async function removeStored(store: string, name: string): Promise<void> {
  try {
    await rm(join(store, name), { recursive: true, force: true });
  } catch (error) {
    throw fileError(join(store, name), 'a place that can be written', error);
  }
}

/** A rename is on the disk when its folder is. */
export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** latin1, so that whatever bytes a file holds are compared. Throws `file`. */
export async function writeWhenDifferent(path: string, text: string): Promise<void> {
  const there = await readFile(path, 'latin1').catch(() => undefined);
  if (there !== text) await writeAtomic(path, [Buffer.from(text, 'latin1')]);
}

/** Folders, block rounding and the menu. */
const slack = 1 << 20;

/** What the files hold, bytes. */
export const bytesOf = (files: readonly NewFile[]): number =>
  files.flatMap(({ chunks }) => chunks).reduce((sum, { length }) => sum + length, 0);

async function freeBytes(path: string): Promise<number> {
  const { bavail, bsize } = await statfs(path);
  return bavail * bsize;
}
