/**
 * Keeps the payloads and the menu of an installed system in step with its kernels.
 *
 * The order of the steps is what makes every moment a bootable one, a power cut or a kill included:
 *
 *   1. the menu no longer has the version armed; its plain entry, or an older kernel's armed one, is the default
 *   2. V.new is built, written, synced, and read back from the disk with every digest
 *   3. V becomes V.old, V.new becomes V
 *   4. the menu has the version armed again, with V.old as its previous payload
 *
 * What the menu offers is decided from the files alone, each time anew, so that a run after an interrupted one needs
 * to know nothing of it: a payload is armed only while kernel and initramfs in /boot are those inside it.
 */
import { readdir, readFile, realpath, rename, stat } from 'node:fs/promises';
import { basename, dirname, join, posix } from 'node:path';
import { menuFile } from '../capture-initramfs/in-a-row.js';
import { renderBootMenu, withInclude, withoutInclude, type MenuKernel } from '../config/boot-menu.js';
import { SaveoopsError } from '../errors.js';
import { fileError, isTemporaryName, makeFolder, readInput, writeAtomic } from '../host/files.js';
import { installedKernels, type InstalledKernel } from './installed-kernels.js';
import {
  digestFile,
  fitOf,
  forgetCached,
  payloadFile,
  promote,
  readStored,
  removeStored,
  settingsFile,
  syncFolder,
  writeNew,
  type NewFile,
} from './payload-store.js';

/** One installed system. */
export interface BootFolder {
  /** With vmlinuz-V: /boot. */
  readonly boot: string;
  /** The user's syslinux.cfg or extlinux.conf. */
  readonly bootConfig: string;
  /** Command lines of the plain and the armed entries. */
  readonly append: string;
  readonly armedAppend: string;
  readonly initrdBeside: boolean;
}

export interface Update extends BootFolder {
  /** What the payload depends on beside kernel and initramfs; a difference means a new build. */
  readonly settings: string;
  /** Build even when nothing has changed. */
  readonly force: boolean;
  /** Builds one payload: saveoops.c32 and saveoops.json. */
  readonly build: (kernel: InstalledKernel) => Promise<readonly NewFile[]>;
  /** Checks a saveoops.c32. Throws when it is not what was built. */
  readonly verify: (file: string) => Promise<void>;
  readonly say: (line: string) => void;
}

/** The same menu without any payload, ready to take the other's name when the disk has no room for a new file. */
const spareMenuFile = 'syslinux-plain.cfg';

/** Where payloads and menu are; made when it is not there. Throws `file`, or `unsupported` for another file system. */
export async function openStore({
  boot,
  bootConfig,
}: Pick<BootFolder, 'boot' | 'bootConfig'>): Promise<string> {
  const store = join(boot, 'saveoops');
  try {
    await makeFolder(store);
    const [here, there] = await Promise.all([stat(store), stat(bootConfig)]);
    if (here.dev === there.dev) {
      for (const name of await readdir(store)) if (isTemporaryName(name)) await removeStored(store, name);
      return store;
    }
  } catch (error) {
    throw fileError(store, `${store} and ${bootConfig}`, error);
  }
  throw new SaveoopsError(
    'unsupported',
    'the boot configuration is on another file system than the kernels',
    {
      where: bootConfig,
      found: `${bootConfig} and ${store} on two file systems`,
      wanted: 'one file system: Syslinux reads no other than the one it was started from',
    },
  );
}

/**
 * Builds the payload of one version if it does not fit, and writes the menu. Throws what `build` throws, `usage` for
 * a version that is not installed, `no-space`, `file`, `digest`; the menu is right then, too, if it can be written.
 */
export async function updateVersion(update: Update, version: string): Promise<void> {
  const store = await openStore(update);
  const kernel = (await installedKernels(update.boot)).find((each) => each.version === version);
  if (kernel === undefined) {
    throw new SaveoopsError('usage', 'no such kernel', {
      where: update.boot,
      found: `no vmlinuz-${version}`,
      wanted: 'the version of an installed kernel',
    });
  }
  if (!update.force && (await isCurrent(update, store, kernel))) {
    await writeMenu(update, store);
    await joinBootConfig(update, store);
    update.say(`${version}: up to date`);
    return;
  }
  await disarm(update, store, version);
  try {
    const settings = { name: settingsFile, chunks: [Buffer.from(update.settings)] };
    await writeNew(store, version, [...(await update.build(kernel)), settings]);
    const file = join(store, `${version}.new`, payloadFile);
    await forgetCached(file);
    await update.verify(file);
    await promote(store, version);
  } catch (error) {
    // What went wrong is worth more to a person than what then goes wrong, too, on the same disk.
    await removeStored(store, `${version}.new`).catch(() => undefined);
    // The old payload may still fit, if only settings had changed.
    await writeMenu(update, store).catch(() => undefined);
    throw error;
  }
  await writeMenu(update, store);
  // Not before a payload works: until then the user's own entries are what boots.
  await joinBootConfig(update, store);
  update.say(`${version}: armed`);
}

/** The files of this version are about to change or to go: it is no longer armed. Throws `file`. */
export async function beforeChange(folder: BootFolder, version: string): Promise<void> {
  await disarm(folder, await openStore(folder), version);
}

/**
 * A kernel is going or gone: first its entries, the plain one included, then its payloads. Should it stay after all,
 * the next update brings its entries back. Throws `file`.
 */
export async function removeVersion(folder: BootFolder, version: string): Promise<void> {
  const store = await openStore(folder);
  await writeMenu(folder, store, { without: version });
  await removePayloads(store, version);
}

/** Payload folders whose kernel is gone. */
export async function orphans({ boot }: BootFolder): Promise<readonly string[]> {
  const versions = new Set((await installedKernels(boot)).map(({ version }) => version));
  return (await storedVersions(join(boot, 'saveoops'))).filter((version) => !versions.has(version));
}

/**
 * Takes everything back: the INCLUDE line in the user's configuration, then menu and payloads. Captures stay.
 * Throws `file`.
 */
export async function disable(folder: Pick<BootFolder, 'boot' | 'bootConfig'>): Promise<void> {
  const store = await openStore(folder);
  const { path, text, include } = await readBootConfig(folder, store);
  await replaceBootConfig(path, text, withoutInclude(text, include));
  for (const name of [menuFile, spareMenuFile]) await removeStored(store, name);
  for (const version of await storedVersions(store)) await removePayloads(store, version);
}

/** Versions that have a payload, whole or not. */
async function storedVersions(store: string): Promise<readonly string[]> {
  const found = new Set<string>();
  for (const name of await readdir(store)) {
    // A name is not enough: captures and whatever a person keeps there are not ours. A killed run has left no more
    // than V.new, which goes with the next payload of its version.
    const settings = await stat(join(store, name, settingsFile)).catch(() => undefined);
    if (settings !== undefined) found.add(name.replace(/\.(new|old)$/, ''));
  }
  return [...found];
}

async function removePayloads(store: string, version: string): Promise<void> {
  for (const name of [`${version}.new`, version, `${version}.old`]) await removeStored(store, name);
}

async function isCurrent(update: Update, store: string, kernel: InstalledKernel): Promise<boolean> {
  const stored = await readStored(store, kernel.version);
  if (stored?.settings !== update.settings) return false;
  if ((await fitOf(stored, digests(update.boot, kernel))) !== 'all') return false;
  return await update.verify(join(store, kernel.version, payloadFile)).then(
    () => true,
    () => false,
  );
}

/** Does not fail for want of room: renaming needs none. Throws `file` when the menu cannot be changed at all. */
async function disarm(folder: BootFolder, store: string, version: string): Promise<void> {
  const menu = join(store, menuFile);
  try {
    await writeMenu(folder, store, { disarmed: version });
  } catch (error) {
    try {
      await rename(join(store, spareMenuFile), menu);
      await syncFolder(store);
    } catch {
      const text = await readFile(menu, 'latin1').catch(() => '');
      if (text.includes(`/${version}/${payloadFile}`)) throw error;
    }
  }
}

interface MenuExceptions {
  /** Has no armed entry, whatever its payload is; that payload may be offered as the previous one. */
  readonly disarmed?: string;
  /** This version is about to go: it has no entry at all. */
  readonly without?: string;
}

/** Writes the menu that the files call for, if it is not there already. */
async function writeMenu(folder: BootFolder, store: string, except: MenuExceptions = {}): Promise<void> {
  const configFolder = await realpath(dirname(folder.bootConfig));
  const named = async (path: string): Promise<string> =>
    posix.relative(configFolder, join(await realpath(dirname(path)), basename(path)));
  const kernels: MenuKernel[] = [];
  for (const kernel of await installedKernels(folder.boot)) {
    if (kernel.version === except.without) continue;
    const { armed, previous } = await offered(folder, store, kernel, except);
    const path = (name: string | undefined): Promise<string> | undefined =>
      name === undefined ? undefined : named(join(store, name, payloadFile));
    const initrdFile =
      kernel.initrd === undefined ? undefined : await named(join(folder.boot, kernel.initrd));
    const beside = folder.initrdBeside && initrdFile !== undefined ? `initrd=${initrdFile} ` : '';
    kernels.push({
      version: kernel.version,
      kernelFile: await named(join(folder.boot, kernel.kernel)),
      initrdFile,
      append: folder.append,
      armedAppend: `${beside}${folder.armedAppend}`,
      armed: await path(armed),
      previous: await path(previous),
    });
  }
  const plain = kernels.map((kernel) => ({ ...kernel, armed: undefined, previous: undefined }));
  await writeWhenDifferent(join(store, spareMenuFile), renderBootMenu(plain));
  await writeWhenDifferent(join(store, menuFile), renderBootMenu(kernels));
  await syncFolder(store);
}

async function joinBootConfig(folder: BootFolder, store: string): Promise<void> {
  const { path, text, include } = await readBootConfig(folder, store);
  await replaceBootConfig(path, text, withInclude(text, include, folder.bootConfig));
}

/** Folders of the payloads that the menu may name. */
async function offered(
  { boot }: BootFolder,
  store: string,
  kernel: InstalledKernel,
  { disarmed }: MenuExceptions,
): Promise<{ armed?: string; previous?: string }> {
  const { version } = kernel;
  const digest = digests(boot, kernel);
  const fit = async (name: string): Promise<'all' | 'kernel' | 'nothing'> => {
    const stored = await readStored(store, name);
    return stored === undefined ? 'nothing' : fitOf(stored, digest);
  };
  const [now, before] = [await fit(version), await fit(`${version}.old`)];
  const older = before === 'nothing' ? {} : { previous: `${version}.old` };
  if (now === 'all' && version !== disarmed) return { armed: version, ...older };
  return now === 'nothing' ? older : { previous: version };
}

/** Digests of the files in /boot, each taken once at most. */
function digests(
  boot: string,
  { kernel, initrd }: InstalledKernel,
): (role: 'kernel' | 'initrd') => Promise<string | undefined> {
  const taken = new Map<string, Promise<string>>();
  return async (role) => {
    const name = role === 'kernel' ? kernel : initrd;
    if (name === undefined) return undefined;
    const known = taken.get(name) ?? digestFile(join(boot, name));
    taken.set(name, known);
    return await known;
  };
}

async function writeWhenDifferent(path: string, text: string): Promise<void> {
  const there = await readFile(path, 'latin1').catch(() => undefined);
  if (there !== text) await writeAtomic(path, [Buffer.from(text, 'latin1')]);
}

/** As latin1: whatever bytes the user's file holds, they are written back the same. */
async function readBootConfig(
  { bootConfig }: Pick<BootFolder, 'bootConfig'>,
  store: string,
): Promise<{ path: string; text: string; include: string }> {
  const text = Buffer.from(await readInput(bootConfig, 'a Syslinux configuration')).toString('latin1');
  // A symbolic link stays one: its target is replaced.
  const path = await realpath(bootConfig);
  const include = posix.join(
    posix.relative(await realpath(dirname(bootConfig)), await realpath(store)),
    menuFile,
  );
  return { path, text, include };
}

/** Throws `file`. */
async function replaceBootConfig(path: string, before: string, after: string): Promise<void> {
  if (after === before) return;
  const { mode } = await stat(path);
  await writeAtomic(path, [Buffer.from(after, 'latin1')], mode & 0o777);
  await syncFolder(dirname(path));
}
