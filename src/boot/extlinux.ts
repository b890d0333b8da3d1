/**
 * Syslinux and EXTLINUX as a loader of armed kernels: a menu in the store, and one INCLUDE line for it at the end of the
 * administrator's configuration. The payload is saveoops.c32. Plain entries are in the menu, too: the COM32 module looks for one
 * there when a payload is damaged. Fallback after captures in a row: the menu's entry saveoops-fallback, by the sectors that
 * Syslinux keeps for that (src/capture-initramfs/root/bin/boot-once).
 */
import { readFile, realpath, rename, stat } from 'node:fs/promises';
import { basename, dirname, join, posix } from 'node:path';
import { menuFile } from '../capture-initramfs/in-a-row.js';
import { manifestFile, payloadFile } from '../compose/payload-files.js';
import { renderBootMenu, withInclude, withoutInclude, type MenuKernel } from '../config/boot-menu.js';
import { SaveoopsError } from '../errors.js';
import { fileError, readInput, writeAtomic } from '../host/files.js';
import { exists } from '../host/presence.js';
import { makeChanges, pending, type FileChange } from './file-change.js';
import { keptListChange, keptListFile } from './kept-regions.js';
import type { Loader, Offer } from './loader.js';
import { openStore, storeIn, syncFolder } from './payload-store.js';

export interface ExtlinuxSystem {
  /** With vmlinuz-V: /boot. */
  readonly boot: string;
  /** The user's syslinux.cfg or extlinux.conf. */
  readonly bootConfig: string;
  /** Command lines of the plain and the armed entries. */
  readonly append: string;
  readonly armedAppend: string;
  readonly initrdBeside: boolean;
  readonly afterReset: boolean;
  /** Checks a saveoops.c32. Throws when it is not what was built. */
  readonly verify: (file: string) => Promise<void>;
}

/** The same menu without any payload, ready to take the other's name when the disk has no room for a new file. */
const spareMenuFile = 'syslinux-plain.cfg';

const withoutFiles = (store: string): readonly FileChange[] =>
  [menuFile, spareMenuFile, keptListFile].map((name) => ({ path: join(store, name), text: undefined }));

export function extlinux(system: ExtlinuxSystem): Loader {
  return {
    name: 'extlinux',
    payload: {
      format: 'com32',
      file: payloadFile,
      // The plain entry boots the files in /boot themselves.
      select: async (built) =>
        await Promise.resolve(built.filter(({ name }) => name === payloadFile || name === manifestFile)),
      verify: (folder) => system.verify(join(folder, payloadFile)),
    },
    locate: () => locate(system),
    open: async () => await openStore(await locate(system)),
    changes: (store, offers) => menuChanges(system, store, offers),
    withdraw,
    join: (store) => joinBootConfig(system, store),
    wouldJoin: async (store) => {
      const { path, text, include } = await readBootConfig(system, store);
      return withInclude(text, include, system.bootConfig) === text ? [] : [path];
    },
    leave: (store) => leave(system, store),
    wouldLeave: async (store) => {
      const { path, text, include } = await readBootConfig(system, store);
      return [
        ...(withoutInclude(text, include) === text ? [] : [path]),
        ...(await pending(withoutFiles(store))).map((menu) => menu.path),
      ];
    },
  };
}

async function locate({ boot, bootConfig }: ExtlinuxSystem): Promise<string> {
  const store = storeIn(boot);
  try {
    const [here, there] = await Promise.all([stat((await exists(store)) ? store : boot), stat(bootConfig)]);
    if (here.dev === there.dev) return store;
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

async function menuChanges(
  system: ExtlinuxSystem,
  store: string,
  offers: readonly Offer[],
): Promise<readonly FileChange[]> {
  const configFolder = await realpath(dirname(system.bootConfig));
  const named = async (path: string): Promise<string> => posix.relative(configFolder, await realPlace(path));
  const kernels: MenuKernel[] = [];
  for (const { kernel, armed, previous } of offers) {
    const path = (name: string | undefined): Promise<string> | undefined =>
      name === undefined ? undefined : named(join(store, name, payloadFile));
    const initrdFile =
      kernel.initrd === undefined ? undefined : await named(join(system.boot, kernel.initrd));
    const beside = system.initrdBeside && initrdFile !== undefined ? `initrd=${initrdFile} ` : '';
    kernels.push({
      version: kernel.version,
      kernelFile: await named(join(system.boot, kernel.kernel)),
      initrdFile,
      append: system.append,
      armedAppend: `${beside}${system.armedAppend}`,
      afterReset: system.afterReset,
      armed: await path(armed),
      previous: await path(previous),
    });
  }
  const plain = kernels.map((kernel) => ({ ...kernel, armed: undefined, previous: undefined }));
  return [
    await keptListChange(store),
    { path: join(store, spareMenuFile), text: renderBootMenu(plain) },
    { path: join(store, menuFile), text: renderBootMenu(kernels) },
  ];
}

/** Where a file is, or would be, once the symbolic links of the folders that are there have been followed. */
async function realPlace(path: string): Promise<string> {
  const folder = dirname(path);
  const real = (await exists(folder)) ? await realpath(folder) : await realPlace(folder);
  return join(real, basename(path));
}

/** By renaming, which needs no room. */
async function withdraw(store: string, version: string): Promise<void> {
  const menu = join(store, menuFile);
  try {
    await rename(join(store, spareMenuFile), menu);
    await syncFolder(store);
  } catch (error) {
    const text = await readFile(menu, 'latin1').catch(() => '');
    if (text.includes(`/${version}/${payloadFile}`)) throw error;
  }
}

async function joinBootConfig(system: ExtlinuxSystem, store: string): Promise<void> {
  const { path, text, include } = await readBootConfig(system, store);
  await replaceBootConfig(path, text, withInclude(text, include, system.bootConfig));
}

async function leave(system: ExtlinuxSystem, store: string): Promise<void> {
  const { path, text, include } = await readBootConfig(system, store);
  await replaceBootConfig(path, text, withoutInclude(text, include));
  await makeChanges(withoutFiles(store));
}

/** As latin1: whatever bytes the user's file holds, they are written back the same. */
async function readBootConfig(
  { bootConfig }: Pick<ExtlinuxSystem, 'bootConfig'>,
  store: string,
): Promise<{ path: string; text: string; include: string }> {
  const text = Buffer.from(await readInput(bootConfig, 'a Syslinux configuration')).toString('latin1');
  // A symbolic link stays one: its target is replaced.
  const path = await realpath(bootConfig);
  const include = posix.join(
    posix.relative(await realpath(dirname(bootConfig)), await realPlace(store)),
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
