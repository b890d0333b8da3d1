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
import { fileError, readInput, writeAtomic } from '../host/files.js';
import { exists } from '../host/presence.js';
import { runTool } from '../host/run-tool.js';
import { composedPayload } from './composed-payload.js';
import { makeChanges, pending, type FileChange } from './file-change.js';
import type { Loader, Offer } from './loader.js';
import { openStore, removeStored, storeIn, syncFolder, writeWhenDifferent } from './payload-store.js';

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
const script = join(fileURLToPath(import.meta.url), '../../../../src/boot/grub.d', scriptName);

export function grub(system: GrubSystem): Loader {
  return {
    name: 'grub',
    payload: composedPayload('bzimage'),
    locate: () => locate(system),
    open: async () => await openStore(await locate(system)),
    changes: markChanges,
    withdraw: (store, version) => makeChanges([{ path: join(store, version, armedFile), text: undefined }]),
    join: (store) => joinMenu(system, store),
    wouldJoin: async (store, offers) =>
      joinPaths(
        system,
        store,
        await whatToJoin(
          system,
          store,
          offers.flatMap(({ armed }) => armed ?? []),
        ),
      ),
    leave: (store) => leave(system, store),
    wouldLeave: (store) => leavePaths(system, store),
  };
}

const configOf = ({ boot }: GrubSystem): string => join(boot, 'grub', 'grub.cfg');

async function locate({ boot }: GrubSystem): Promise<string> {
  const store = storeIn(boot);
  try {
    const [here, kernels] = await Promise.all([stat((await exists(store)) ? store : boot), stat(boot)]);
    if (here.dev === kernels.dev) return store;
  } catch (error) {
    throw fileError(store, 'a place that can be written', error);
  }
  throw new SaveoopsError('unsupported', 'payloads and kernels are on two file systems', {
    where: store,
    found: `${store} and ${boot} on two file systems`,
    wanted: 'one: GRUB looks for a payload beside its kernel',
  });
}

async function markChanges(store: string, offers: readonly Offer[]): Promise<readonly FileChange[]> {
  const wanted = new Set(
    offers.flatMap(({ kernel, armed, previous }) => [
      ...(armed === undefined ? [] : [join(store, armed, armedFile)]),
      // V itself is the previous one only while it is about to become V.old.
      ...(previous === undefined || previous === kernel.version ? [] : [join(store, previous, previousFile)]),
    ]),
  );
  const folders = await readdir(store).catch(() => []);
  const possible = folders.flatMap((folder) =>
    [armedFile, previousFile].map((mark) => join(store, folder, mark)),
  );
  return [
    // What is not to boot goes first.
    ...possible.filter((path) => !wanted.has(path)).map((path) => ({ path, text: undefined })),
    ...[...wanted].map((path) => ({ path, text: '' })),
  ];
}

/** What is not yet as it is to be. */
interface ToJoin {
  /** Text of grub.conf. */
  readonly text: string;
  readonly conf: boolean;
  readonly link: boolean;
  readonly config: boolean;
}

/** Throws `usage`, `file`, `unsupported`. @param armed versions that are to have an armed entry */
async function whatToJoin(system: GrubSystem, store: string, armed: readonly string[]): Promise<ToJoin> {
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
  const text = `# Written by saveoops update, read by ${join(scripts, scriptName)}.\nwords=${words.join(' ')}\n`;
  const conf = (await readFile(join(store, confFile), 'latin1').catch(() => undefined)) !== text;
  const sum = sha256Hex(await readInput(script, 'a file of this package'));
  const config = conf || !before.includes(sum) || withoutEntry(before, armed) !== undefined;
  return { text, conf, link: !(await isLinked()), config };
}

function joinPaths(system: GrubSystem, store: string, { conf, link, config }: ToJoin): readonly string[] {
  return [
    ...(conf ? [join(store, confFile)] : []),
    ...(link ? [join(scripts, scriptName)] : []),
    ...(config ? [configOf(system)] : []),
  ];
}

/** The first of these versions that a grub.cfg has no armed entry of. */
function withoutEntry(config: string, armed: readonly string[]): string | undefined {
  return armed.find((version) => !config.includes(`/saveoops/${version}/${armedFile}`));
}

async function joinMenu(system: GrubSystem, store: string): Promise<void> {
  const armed: string[] = [];
  for (const folder of await readdir(store)) {
    if (await exists(join(store, folder, armedFile))) armed.push(folder);
  }
  const { text, link, config } = await whatToJoin(system, store, armed);
  await writeWhenDifferent(join(store, confFile), text);
  if (link) await linkScript();
  if (!config) return;
  await writeConfig(system);
  const without = withoutEntry(await readConfig(system), armed);
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
  await makeChanges(await markChanges(store, []));
  const link = join(scripts, scriptName);
  if (await isSymbolicLink(link)) await rm(link);
  await removeStored(store, confFile);
  if (await hasOurEntries(system)) await writeConfig(system);
  const names = await ourVariables(system);
  if (names.length > 0) await runTool('grub-editenv', [environmentOf(system), 'unset', ...names]);
}

async function leavePaths(system: GrubSystem, store: string): Promise<readonly string[]> {
  const marks = await pending(await markChanges(store, []));
  const link = join(scripts, scriptName);
  const conf = join(store, confFile);
  return [
    ...marks.map(({ path }) => path),
    ...((await isSymbolicLink(link)) ? [link] : []),
    ...((await exists(conf)) ? [conf] : []),
    ...((await hasOurEntries(system)) ? [configOf(system)] : []),
    ...((await ourVariables(system)).length > 0 ? [environmentOf(system)] : []),
  ];
}

const environmentOf = ({ boot }: GrubSystem): string => join(boot, 'grub', 'grubenv');

async function hasOurEntries(system: GrubSystem): Promise<boolean> {
  return (await readConfig(system).catch(() => '')).includes(scriptName);
}

/** What goes from GRUB's environment: ours, and the name that GRUB leaves, without a value, of what it has booted once. */
async function ourVariables(system: GrubSystem): Promise<readonly string[]> {
  const text = await readFile(environmentOf(system), 'latin1').catch(() => '');
  if (!/^saveoops_capture=/m.test(text)) return [];
  return ['saveoops_capture', ...(/^next_entry=$/m.test(text) ? ['next_entry'] : [])];
}

async function isSymbolicLink(path: string): Promise<boolean> {
  return (await lstat(path).catch(() => undefined))?.isSymbolicLink() === true;
}

/** Whether GRUB's scripts have ours. Throws `unsupported` for a file of somebody else's. */
async function isLinked(): Promise<boolean> {
  const link = join(scripts, scriptName);
  const found = await lstat(link).catch(() => undefined);
  if (found === undefined || found.isSymbolicLink())
    return found !== undefined && (await readlink(link)) === script;
  throw new SaveoopsError('unsupported', 'a file is in the way', {
    where: link,
    found: 'no symbolic link',
    wanted: `nothing, or a link to ${script}`,
  });
}

/** In place of a link of another version of this package. Throws `file`. */
async function linkScript(): Promise<void> {
  const link = join(scripts, scriptName);
  try {
    await rm(link, { force: true });
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
