/**
 * Keeps the payloads of an installed system, and what its boot loader offers, in step with its kernels.
 *
 * The order of the steps is what makes every moment a bootable one, a power cut or a kill included:
 *
 *   1. the loader no longer offers the version armed; its plain entry, or an older kernel's armed one, is the default
 *   2. V.new is built, written, synced, and read back from the disk with every digest
 *   3. V becomes V.old, V.new becomes V
 *   4. the loader offers the version armed again, with V.old as its previous payload
 *
 * What is offered is decided from the files alone, each time anew, so that a run after an interrupted one needs
 * to know nothing of it: a payload is armed only while kernel and initramfs in /boot are those inside it.
 */
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { SaveoopsError } from '../errors.js';
import { installedKernels, type InstalledKernel } from './installed-kernels.js';
import { makeChanges, pending } from './file-change.js';
import type { Loader, Offer } from './loader.js';
import {
  bytesOf,
  digestFile,
  fitOf,
  forgetCached,
  promote,
  readStored,
  removeStored,
  requireRoomFor,
  settingsFile,
  writeNew,
  type NewFile,
} from './payload-store.js';

/** One installed system. */
export interface BootFolder {
  /** With vmlinuz-V: /boot. */
  readonly boot: string;
  readonly loader: Loader;
  /**
   * Why what checks images before they start (Secure Boot) would refuse a payload that was built with these settings; undefined: it
   * would not. Such a payload is offered nowhere until it is accepted: the plain entry is the default.
   */
  readonly refusal?: (settings: string) => string | undefined;
}

export interface Update extends BootFolder {
  /** What the payload depends on beside kernel and initramfs; a difference means a new build. */
  readonly settings: string;
  /** Build even when nothing has changed. */
  readonly force: boolean;
  /**
   * Builds one payload, in the loader's format.
   * @param previous folder of a payload from the same kernel and with the same settings, which has another initramfs
   */
  readonly build: (kernel: InstalledKernel, previous: string | undefined) => Promise<readonly NewFile[]>;
}

/** What was done for one version, or, in a rehearsal, what would be. */
export interface Outcome {
  readonly version: string;
  /**
   * `kept`: the payload fits as it is; `renewed`: it got another initramfs; `built`; `disarmed`: its plain entry boots until the next
   * update; `removed`: entries and payloads; `failed`: `why` is the error.
   */
  readonly action: 'kept' | 'renewed' | 'built' | 'disarmed' | 'removed' | 'failed';
  readonly why: string;
  /** Whether its armed entry is in the menu. */
  readonly armed: boolean;
  /** What is written for it, bytes; 0: nothing. */
  readonly size: number;
}

/**
 * Builds the payload of one version if it does not fit, and has it offered. Throws what `build` throws, `usage` for
 * a version that is not installed, `no-space`, `file`, `digest`; what is offered is right then, too, if it can be written.
 */
export async function updateVersion(update: Update, version: string): Promise<Outcome> {
  const { loader } = update;
  const store = await loader.open();
  const kernel = await findKernel(update, version);
  const need = await needOf(update, store, kernel);
  if (need.action === 'kept') {
    await offer(update, store);
    await loader.join(store);
    return outcome(update, version, need, []);
  }
  await disarm(update, store, version);
  let files: readonly NewFile[];
  try {
    files = await payloadFiles(update, store, kernel, need);
    await writeNew(store, version, files, loader.payload.file);
    await forgetCached(join(store, `${version}.new`, loader.payload.file));
    await loader.payload.verify(join(store, `${version}.new`));
    await promote(store, version);
  } catch (error) {
    // What went wrong is worth more to a person than what then goes wrong, too, on the same disk.
    await removeStored(store, `${version}.new`).catch(() => undefined);
    // The old payload may still fit, if only settings had changed.
    await offer(update, store).catch(() => undefined);
    throw error;
  }
  await offer(update, store);
  // Not before a payload works: until then the user's own entries are what boots.
  await loader.join(store);
  return outcome(update, version, need, files);
}

/** Builds as updateVersion() does, and writes nothing. Throws what it throws before it writes. */
export async function rehearseVersion(update: Update, version: string): Promise<Outcome> {
  const store = await update.loader.locate();
  const kernel = await findKernel(update, version);
  const need = await needOf(update, store, kernel);
  const files = need.action === 'kept' ? [] : await payloadFiles(update, store, kernel, need);
  await requireRoomFor(store, version, files);
  return outcome(update, version, need, files);
}

/** Paths of the loader's files that a run with these outcomes would write or remove. Throws `file`, `unsupported`. */
export async function rehearseLoader(
  folder: BootFolder,
  outcomes: readonly Outcome[],
): Promise<readonly string[]> {
  const { boot, loader } = folder;
  const store = await loader.locate();
  const offers: Offer[] = [];
  for (const kernel of await installedKernels(boot)) {
    const { version } = kernel;
    const planned = outcomes.find((each) => each.version === version);
    if (planned?.action === 'removed') continue;
    const without = planned?.action === 'disarmed' ? { disarmed: version } : {};
    const now = await fitting(folder, store, kernel, without);
    if (planned?.action !== 'built' && planned?.action !== 'renewed') offers.push(now);
    else {
      const stays = [now.armed, now.previous].includes(version);
      offers.push({
        kernel,
        armed: planned.armed ? version : undefined,
        previous: stays ? `${version}.old` : undefined,
      });
    }
  }
  const changes = await pending(await loader.changes(store, offers));
  const joins = outcomes.some(({ action }) => ['kept', 'renewed', 'built'].includes(action));
  return [...changes.map(({ path }) => path), ...(joins ? await loader.wouldJoin(store, offers) : [])];
}

async function findKernel({ boot }: BootFolder, version: string): Promise<InstalledKernel> {
  const kernel = (await installedKernels(boot)).find((each) => each.version === version);
  if (kernel !== undefined) return kernel;
  throw new SaveoopsError('usage', 'no such kernel', {
    where: boot,
    found: `no vmlinuz-${version}`,
    wanted: 'the version of an installed kernel',
  });
}

type Need = Pick<Outcome, 'why'> & { readonly action: 'kept' | 'renewed' | 'built' };

async function needOf(update: Update, store: string, kernel: InstalledKernel): Promise<Need> {
  if (update.force) return { action: 'built', why: '--force' };
  const stored = await readStored(store, kernel.version);
  if (stored === undefined) return { action: 'built', why: 'it has no payload' };
  if (stored.settings !== update.settings) return { action: 'built', why: 'settings have changed' };
  const fit = await fitOf(stored, digests(update.boot, kernel));
  if (fit === 'nothing') return { action: 'built', why: 'the kernel has changed' };
  if (fit === 'kernel') return { action: 'renewed', why: 'the initramfs has changed' };
  if (!(await fitsLoader(update, join(store, kernel.version), kernel.version)))
    return { action: 'built', why: 'what it was made of has changed' };
  if (await isWhole(update, join(store, kernel.version)))
    return { action: 'kept', why: 'nothing has changed' };
  return { action: 'built', why: 'its payload is damaged' };
}

async function payloadFiles(
  update: Update,
  store: string,
  kernel: InstalledKernel,
  { action }: Need,
): Promise<readonly NewFile[]> {
  const previous = action === 'renewed' ? join(store, kernel.version) : undefined;
  const built = await update.build(kernel, previous);
  const settings = { name: settingsFile, chunks: [Buffer.from(update.settings)] };
  return [...(await update.loader.payload.select(built, kernel.version)), settings];
}

function outcome(
  { refusal, settings }: Update,
  version: string,
  { action, why }: Need,
  files: readonly NewFile[],
): Outcome {
  const refused = refusal?.(settings);
  return { version, action, why: refused ?? why, armed: refused === undefined, size: bytesOf(files) };
}

/** The files of this version are about to change or to go: it is no longer armed. Throws `file`. */
export async function beforeChange(folder: BootFolder, version: string): Promise<void> {
  await disarm(folder, await folder.loader.open(), version);
}

/**
 * A kernel is going or gone: first its entries, the plain one included, then its payloads. Should it stay after all,
 * the next update brings its entries back. Throws `file`.
 */
export async function removeVersion(folder: BootFolder, version: string): Promise<void> {
  const { loader } = folder;
  const store = await loader.open();
  const offers = await offersOf(folder, store, { without: version });
  await makeChanges(await loader.changes(store, offers));
  await removePayloads(store, version);
  // What tells of payloads that are kept tells of these no more.
  await makeChanges(await loader.changes(store, offers));
}

/** Payload folders whose kernel is gone. */
export async function orphans({ boot, loader }: BootFolder): Promise<readonly string[]> {
  const versions = new Set((await installedKernels(boot)).map(({ version }) => version));
  return (await storedVersions(await loader.locate())).filter((version) => !versions.has(version));
}

/** What disable() would do, and nothing of it. */
export async function rehearseDisable({ loader }: Pick<BootFolder, 'loader'>): Promise<{
  readonly versions: readonly string[];
  readonly paths: readonly string[];
}> {
  const store = await loader.locate();
  return { versions: await storedVersions(store), paths: await loader.wouldLeave(store) };
}

/** Takes everything back: what the loader's configuration was given, then the payloads, whose versions it gives. Captures stay. Throws `file`. */
export async function disable({ loader }: Pick<BootFolder, 'loader'>): Promise<readonly string[]> {
  const store = await loader.open();
  await loader.leave(store);
  const versions = await storedVersions(store);
  for (const version of versions) await removePayloads(store, version);
  return versions;
}

/** Versions that have a payload, whole or not. */
async function storedVersions(store: string): Promise<readonly string[]> {
  const found = new Set<string>();
  for (const name of await readdir(store).catch(() => [])) {
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

async function fitsLoader(
  { loader }: Pick<BootFolder, 'loader'>,
  folder: string,
  version: string,
): Promise<boolean> {
  return (await loader.payload.fits?.(folder, version)) ?? true;
}

async function isWhole({ loader }: Update, folder: string): Promise<boolean> {
  return await loader.payload.verify(folder).then(
    () => true,
    () => false,
  );
}

/** Does not fail for want of room. Throws `file` when the version would still be booted armed. */
async function disarm(folder: BootFolder, store: string, version: string): Promise<void> {
  try {
    await offer(folder, store, { disarmed: version });
  } catch (error) {
    await folder.loader.withdraw(store, version).catch(() => {
      throw error;
    });
  }
}

interface Exceptions {
  /** Has no armed entry, whatever its payload is; that payload may be offered as the previous one. */
  readonly disarmed?: string;
  /** This version is about to go: it has no entry at all. */
  readonly without?: string;
}

/** Has the loader offer what the files call for. */
async function offer(folder: BootFolder, store: string, except: Exceptions = {}): Promise<void> {
  await makeChanges(await folder.loader.changes(store, await offersOf(folder, store, except)));
}

async function offersOf(folder: BootFolder, store: string, except: Exceptions): Promise<readonly Offer[]> {
  const offers: Offer[] = [];
  for (const kernel of await installedKernels(folder.boot)) {
    if (kernel.version !== except.without) offers.push(await fitting(folder, store, kernel, except));
  }
  return offers;
}

/** Folders of the payloads that may be offered. */
async function fitting(
  { boot, loader, refusal }: BootFolder,
  store: string,
  kernel: InstalledKernel,
  { disarmed }: Exceptions,
): Promise<Offer> {
  const { version } = kernel;
  const digest = digests(boot, kernel);
  const fit = async (name: string): Promise<'all' | 'kernel' | 'nothing'> => {
    const stored = await readStored(store, name);
    if (stored === undefined || refusal?.(stored.settings) !== undefined) return 'nothing';
    const found = await fitOf(stored, digest);
    return found === 'all' && !(await fitsLoader({ loader }, join(store, name), version)) ? 'kernel' : found;
  };
  const [now, before] = [await fit(version), await fit(`${version}.old`)];
  const older = before === 'nothing' ? undefined : `${version}.old`;
  if (now === 'all' && version !== disarmed) return { kernel, armed: version, previous: older };
  return { kernel, armed: undefined, previous: now === 'nothing' ? older : version };
}

/** Digests of the files in /boot. */
function digests(
  boot: string,
  { kernel, initrd }: InstalledKernel,
): (role: 'kernel' | 'initrd') => Promise<string | undefined> {
  return async (role) => {
    const name = role === 'kernel' ? kernel : initrd;
    return name === undefined ? undefined : await digestFile(join(boot, name));
  };
}
