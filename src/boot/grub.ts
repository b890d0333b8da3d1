/**
 * GRUB 2 (Debian's 2.06 and later; BIOS and UEFI) as a loader of armed kernels. The payload is the composed image, started as any
 * kernel is, with the initramfs in /boot beside it. docs/distributors.md, "GRUB", says why what is done how.
 *
 *   /etc/grub.d/99_saveoops     link to the script of this package, which makes an armed entry out of each plain one
 *   /boot/saveoops/grub.conf    what that script is to do; without it, it does nothing
 *   V/armed.grub                GRUB shows V's armed entry while this file is there
 *   V.old/previous.grub         and the entry of the payload before it, while this one is
 *
 * grub.cfg has the entries of every kernel in /boot, whether armed or not: each kernel package has it written, before its payload
 * is built. So arming and disarming are one file each, and grub.cfg is written by us when entries are missing only, under
 * another name first (grub-mkconfig -o writes over the file that the machine boots by).
 */
import { lstat, readdir, readFile, readlink, realpath, rm, stat, symlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { sha256Hex } from '../bytes/digests.js';
import { SaveoopsError } from '../errors.js';
import { fileError, makeFolder, readInput, writeAtomic } from '../host/files.js';
import { exists } from '../host/presence.js';
import { runTool } from '../host/run-tool.js';
import { composedPayload } from './composed-payload.js';
import type { Loader, Offer } from './loader.js';
import { removeLeftovers, removeStored, storeIn, syncFolder, writeWhenDifferent } from './payload-store.js';

export interface GrubSystem {
  /** With vmlinuz-V and grub/grub.cfg: /boot. */
  readonly boot: string;
  /** Words that armed entries have beside those of the plain one. */
  readonly words: readonly string[];
}

/** Names of the files beside a payload; the script knows them, too. */
const armedFile = 'armed.grub';
const previousFile = 'previous.grub';
const confFile = 'grub.conf';

const scripts = '/etc/grub.d';
const scriptName = '99_saveoops';
const script = join(fileURLToPath(import.meta.url), '../../../../grub-config', scriptName);

export function grub(system: GrubSystem): Loader {
  return {
    name: 'grub',
    payload: composedPayload('bzimage'),
    open: () => open(system),
    offer: (store, offers) => offer(store, offers),
    withdraw: (store, version) => unmark(store, version, armedFile),
    join: (store) => joinMenu(system, store),
    leave: (store) => leave(system, store),
  };
}

const configOf = ({ boot }: GrubSystem): string => join(boot, 'grub', 'grub.cfg');

async function open(system: GrubSystem): Promise<string> {
  const store = storeIn(system.boot);
  try {
    await makeFolder(store);
    const [here, kernels] = await Promise.all([stat(store), stat(system.boot)]);
    if (here.dev !== kernels.dev) {
      throw new SaveoopsError('unsupported', 'payloads and kernels are on two file systems', {
        where: store,
        found: `${store} and ${system.boot} on two file systems`,
        wanted: 'one: GRUB looks for a payload beside its kernel',
      });
    }
    await removeLeftovers(store);
    return store;
  } catch (error) {
    if (error instanceof SaveoopsError) throw error;
    throw fileError(store, 'a place that can be written', error);
  }
}

async function offer(store: string, offers: readonly Offer[]): Promise<void> {
  const wanted = new Set(
    offers.flatMap(({ kernel, armed, previous }) => [
      ...(armed === undefined ? [] : [join(armed, armedFile)]),
      // V itself is the previous one only while it is about to become V.old.
      ...(previous === undefined || previous === kernel.version ? [] : [join(previous, previousFile)]),
    ]),
  );
  // What is not to boot goes first.
  for (const folder of await readdir(store)) {
    for (const mark of [armedFile, previousFile]) {
      if (!wanted.has(join(folder, mark))) await unmark(store, folder, mark);
    }
  }
  for (const name of wanted) {
    const path = join(store, name);
    if (await exists(path)) continue;
    await writeAtomic(path, []);
    await syncFolder(dirname(path));
  }
}

/** Needs no room. */
async function unmark(store: string, folder: string, mark: string): Promise<void> {
  const path = join(store, folder, mark);
  try {
    if (!(await exists(path))) return;
    await rm(path);
    await syncFolder(dirname(path));
  } catch (error) {
    throw fileError(path, 'a file that can be removed', error);
  }
}

async function joinMenu(system: GrubSystem, store: string): Promise<void> {
  const { words } = system;
  const odd = words.find((word) => !/^[A-Za-z0-9._=,:/@%+-]+$/.test(word));
  if (odd !== undefined) {
    throw new SaveoopsError('usage', 'a word that GRUB would read another way', {
      where: 'the command line of armed entries',
      found: JSON.stringify(odd),
      wanted: 'letters, digits and . _ = , : / @ % + -',
    });
  }
  const before = await readConfig(system);
  const conf = join(store, confFile);
  const had = await readFile(conf, 'latin1').catch(() => undefined);
  const text = `# Written by saveoops update, read by ${join(scripts, scriptName)}.\nwords=${words.join(' ')}\n`;
  await writeWhenDifferent(conf, text);
  await linkScript();
  const sum = sha256Hex(await readInput(script, 'a file of this package'));
  const armed: string[] = [];
  for (const folder of await readdir(store)) {
    if (await exists(join(store, folder, armedFile))) armed.push(folder);
  }
  const missing = (config: string): string | undefined =>
    armed.find((version) => !config.includes(`/saveoops/${version}/${armedFile}`));
  if (had === text && before.includes(sum) && missing(before) === undefined) return;
  await writeConfig(system);
  const without = missing(await readConfig(system));
  if (without === undefined) return;
  throw new SaveoopsError('unsupported', 'grub-mkconfig made no entry for an armed kernel', {
    where: configOf(system),
    found: `none for ${without}`,
    wanted: `for each kernel the entry that 10_linux makes, changed by ${join(scripts, scriptName)}`,
    hint: 'run grub-mkconfig and read what it says; is a script *_linux in /etc/grub.d executable?',
  });
}

async function leave(system: GrubSystem, store: string): Promise<void> {
  // From here on GRUB starts plain entries, whatever fails below.
  await offer(store, []);
  const link = join(scripts, scriptName);
  if ((await lstat(link).catch(() => undefined))?.isSymbolicLink() === true) await rm(link);
  await removeStored(store, confFile);
  const config = await readConfig(system).catch(() => '');
  if (config.includes(scriptName)) await writeConfig(system);
  const environment = join(system.boot, 'grub', 'grubenv');
  const text = await readFile(environment, 'latin1').catch(() => '');
  if (/^saveoops_capture=/m.test(text))
    await runTool('grub-editenv', [environment, 'unset', 'saveoops_capture']);
}

/** Throws `unsupported` for a file of somebody else's. */
async function linkScript(): Promise<void> {
  const link = join(scripts, scriptName);
  const found = await lstat(link).catch(() => undefined);
  if (found !== undefined && !found.isSymbolicLink()) {
    throw new SaveoopsError('unsupported', 'a file is in the way', {
      where: link,
      found: 'no symbolic link',
      wanted: `nothing, or a link to ${script}`,
    });
  }
  if (found !== undefined && (await readlink(link)) === script) return;
  try {
    if (found !== undefined) await rm(link);
    await symlink(script, link);
  } catch (error) {
    throw fileError(link, 'a place that can be written', error);
  }
}

async function readConfig(system: GrubSystem): Promise<string> {
  return Buffer.from(await readInput(configOf(system), "GRUB's configuration")).toString('latin1');
}

/** As update-grub, but that at every moment there is a whole grub.cfg. Throws `tool`, `file`. */
async function writeConfig(system: GrubSystem): Promise<void> {
  const path = await realpath(configOf(system));
  const { mode } = await stat(path);
  // A shell that became root by su has no sbin.
  const env = { PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin` };
  const text = await runTool('grub-mkconfig', [], { env });
  await runTool('grub-script-check', [], { input: text });
  await writeAtomic(path, [text], mode & 0o777);
  await syncFolder(dirname(path));
}
