/**
 * systemd-boot (and any loader of entries of the Boot Loader Specification, type #1) as a loader of armed kernels. kernel-install has
 * put kernel, initramfs and an entry on the ESP or XBOOTLDR, BOOT here; that entry stays the plain one, as it is. The armed entry is a
 * copy of it that names the composed image in place of the kernel: same command line, same initramfs, same sort-key and version.
 *
 *   BOOT/saveoops/TOKEN                       the store; TOKEN is kernel-install's: systems that share an ESP do not meet
 *   BOOT/loader/entries/TOKEN-V_999-saveoops.conf   V armed
 *   BOOT/loader/entries/TOKEN-V-saveoops-old.conf   V armed, from the payload before
 *   BOOT/saveoops/TOKEN/TOKEN-saveoops-fallback.conf   what the capture makes an entry of after captures in a row
 *
 * Where kernel-install makes unified kernel images (BOOT/EFI/Linux/TOKEN-V.efi), the plain entry is such an image, and the armed one of
 * type #1 too: it names, by `efi`, an image like the machine's own with another kernel, which lies in the store as any payload
 * does. So one text file arms, whole or not at all, counts boots, and takes the place in the menu that the name gives it.
 *
 * The menu's order decides what is the default. systemd-boot sorts by sort-key, then version, newest first, then name, highest first. To it
 * "-" is lower than ".", that is lower than letters, these than digits, and other characters are only where a part of the name ends. The
 * counter of boots belongs to the name (252 to 257 at least): "V+9.conf" is higher than whatever begins with a letter. So V_999-saveoops.conf lies before V.conf and
 * V+9.conf, and these before V-saveoops-old.conf, with everything of another version before or after all of them. `default` in
 * loader.conf, and what bootctl has written to UEFI's variables, is the administrator's and wins.
 */
import { readdir, readFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { changedEntry, entryValue, parseEntryName } from '../config/loader-entry.js';
import { fallbackLabel } from '../config/boot-menu.js';
import { SaveoopsError } from '../errors.js';
import { fileError } from '../host/files.js';
import { exists } from '../host/presence.js';
import { signImage, type SigningKey } from '../host/sign-image.js';
import { composedPayload } from './composed-payload.js';
import { makeChanges, pending, type FileChange } from './file-change.js';
import type { Loader, Offer, PayloadKind } from './loader.js';
import { openStore, removeLeftovers, settingsFile } from './payload-store.js';
import {
  armUnified,
  madeOf,
  madeOfFile,
  readMadeOf,
  unifiedFiles,
  unifiedKernels,
  type UnifiedKernel,
} from './unified-kernel.js';

export interface SystemdBootSystem {
  /** "/" of the system. */
  readonly root: string;
  /** loader/loader.conf of the ESP or XBOOTLDR; undefined: the first that has entries of this system. */
  readonly bootConfig: string | undefined;
  /** Words that armed entries have beside those of the plain one. */
  readonly words: readonly string[];
  /** Name of the entry that boots once after captures in a row; undefined: the plain one of the kernel before the newest. */
  readonly fallbackEntry: string | undefined;
  /** What unified kernel images are signed with; undefined: not at all. Other payloads are signed where they are built. */
  readonly signer?: SigningKey | undefined;
}

const { file: payloadName } = composedPayload('efi');

/** Where the ESP or XBOOTLDR is mounted, in kernel-install's own order. */
const places = ['efi', 'boot', 'boot/efi'] as const;

/** Higher than any counter of boots. */
const armedEnd = '_999-saveoops';
const armedName = (token: string, version: string): string => `${token}-${version}${armedEnd}`;
const previousEnd = '-saveoops-old';
const previousName = (token: string, version: string): string => `${token}-${version}${previousEnd}`;
/** Name of the entry of the capture, and of the file that it is made from. */
export const fallbackName = (token: string): string => `${token}-${fallbackLabel}`;

/**
 * Before all that kernel-install writes: it takes sort-keys from os-release, words of letters. The entry is one for a single boot by
 * its counter, +1, which systemd-boot makes +0-1 before it starts it; a good boot must not bless it, or it would stay first.
 */
const fallbackSortKey = '0-saveoops';
const fallbackWords = ['systemd.mask=systemd-bless-boot.service'] as const;

export function systemdBoot(system: SystemdBootSystem): Loader {
  return {
    name: 'systemd-boot',
    payload: payloadOf(system),
    locate: () => locate(system),
    open: () => open(system),
    changes: (store, offers) => entryChanges(system, store, offers),
    withdraw,
    join: requireEntries,
    wouldJoin: async (store, offers) => {
      await requireEntriesOf(
        store,
        offers.flatMap(({ armed }) => armed ?? []),
      );
      return [];
    },
    leave: async (store) => await makeChanges(await leaveChanges(store)),
    wouldLeave: async (store) => (await pending(await leaveChanges(store))).map(({ path }) => path),
  };
}

function payloadOf(system: SystemdBootSystem): PayloadKind {
  const unifiedOf = async (version: string): Promise<UnifiedKernel | undefined> => {
    const { boot, token } = await findEntries(system);
    return (await unifiedKernels(boot, token)).get(version);
  };
  const { words, signer } = system;
  return {
    ...composedPayload('efi', async (image, version) => {
      const plain = await unifiedOf(version);
      if (plain === undefined) return { image, beside: [] };
      const armed = await armUnified(plain, image, version, words);
      const made = Buffer.from(await madeOf(plain, words), 'latin1');
      return {
        image: signer === undefined ? armed : await signImage(armed, signer),
        beside: [{ name: madeOfFile, chunks: [made] }],
      };
    }),
    fits: async (folder, version) => {
      const plain = await unifiedOf(version);
      return (await readMadeOf(folder)) === (plain && (await madeOf(plain, words)));
    },
  };
}

/** kernel-install's token on this system, and where its entries are. */
export interface EntryPlace {
  /** The mounted ESP or XBOOTLDR. */
  readonly boot: string;
  readonly token: string;
}

/** Throws `unsupported` where kernel-install has made no entry. */
export async function findEntries({
  root,
  bootConfig,
}: Pick<SystemdBootSystem, 'root' | 'bootConfig'>): Promise<EntryPlace> {
  const boots =
    bootConfig === undefined ? places.map((place) => join(root, place)) : [dirname(dirname(bootConfig))];
  const tokens = await possibleTokens(root);
  for (const boot of boots) {
    const names = [...(await entryFiles(boot)), ...(await unifiedFiles(boot))];
    const token = tokens.find((each) => names.some((name) => name.startsWith(`${each}-`)));
    if (token !== undefined) return { boot, token };
  }
  throw new SaveoopsError('unsupported', 'kernel-install has made no boot entry on this machine', {
    where: boots.flatMap((boot) => [join(boot, 'loader/entries'), join(boot, 'EFI/Linux')]).join(', '),
    found: `no file ${tokens.map((token) => `${token}-*`).join(' or ') || 'of a known entry token'}`,
    wanted: 'entries of type #1, or unified kernel images, from which the armed ones are made',
    hint: 'kernel-install add VERSION /boot/vmlinuz-VERSION makes one',
  });
}

/** As kernel-install looks for its token (kernel-install(8), --entry-token=auto). */
async function possibleTokens(root: string): Promise<readonly string[]> {
  const read = async (path: string): Promise<string> =>
    await readFile(join(root, path), 'utf8').catch(() => '');
  const word = (text: string): string => text.trim().split(/\s+/)[0] ?? '';
  const assigned = (text: string, name: string): string =>
    new RegExp(`^${name}=["']?([^"'\\s]*)`, 'm').exec(text)?.[1] ?? '';
  const named = word(await read('etc/kernel/entry-token'));
  const release = (await read('etc/os-release')) || (await read('usr/lib/os-release'));
  const others = [word(await read('etc/machine-id')), assigned(release, 'IMAGE_ID'), assigned(release, 'ID')];
  // They become names of files, and a label for the capture.
  return (named === '' ? others : [named]).filter((each) => /^[A-Za-z0-9][A-Za-z0-9._-]{0,36}$/.test(each));
}

const entriesOf = (boot: string): string => join(boot, 'loader', 'entries');

async function entryFiles(boot: string): Promise<readonly string[]> {
  return await readdir(entriesOf(boot)).catch(() => []);
}

async function locate(system: SystemdBootSystem): Promise<string> {
  const { boot, token } = await findEntries(system);
  return join(boot, 'saveoops', token);
}

async function open(system: SystemdBootSystem): Promise<string> {
  const store = await openStore(await locate(system));
  const entries = entriesOf(placeOf(store).boot);
  await removeLeftovers(entries).catch((error: unknown) => {
    throw fileError(entries, 'a place that can be written', error);
  });
  return store;
}

const placeOf = (store: string): EntryPlace => ({ boot: dirname(dirname(store)), token: basename(store) });

async function entryChanges(
  system: SystemdBootSystem,
  store: string,
  offers: readonly Offer[],
): Promise<readonly FileChange[]> {
  const { boot, token } = placeOf(store);
  const plain = await plainEntries(boot, token);
  const wanted = new Map<string, string>();
  for (const { kernel, armed, previous } of offers) {
    const entry = plain.get(kernel.version);
    // No entry of kernel-install's: requireEntries() says so, once everything else is as it should be.
    if (entry === undefined) continue;
    const copy = (folder: string, title: string): string =>
      changedEntry(entry.text, {
        title,
        linux: `/saveoops/${token}/${folder}/${payloadName}`,
        // A unified kernel image has its command line inside.
        words: entry.commandLine === undefined ? system.words : [],
      });
    if (armed !== undefined) wanted.set(armedName(token, kernel.version), copy(armed, ', armed'));
    // V itself is the previous one only while it is about to become V.old.
    if (previous !== undefined && previous !== kernel.version)
      wanted.set(previousName(token, kernel.version), copy(previous, ', armed, the payload before'));
  }
  const changes: FileChange[] = [await fallbackChange(system, store, plain, offers)];
  // What is not to boot goes first.
  const there = new Set<string>();
  for (const file of await entryFiles(boot)) {
    const entry = parseEntryName(file);
    if (entry === undefined || !isOurs(token, entry.name)) continue;
    const text = await readFile(join(entriesOf(boot), file), 'latin1').catch(() => undefined);
    if (text !== undefined && text === wanted.get(entry.name)) there.add(entry.name);
    // One that the capture has written waits for its boot, with a try left.
    else if (entry.name !== fallbackName(token) || /^\+0/.test(entry.counter)) {
      changes.push({ path: join(entriesOf(boot), file), text: undefined });
    }
  }
  const tries = await triesOf(system.root);
  for (const [name, text] of wanted) {
    if (there.has(name)) continue;
    // A new payload is tried as often as a new kernel; the previous one has been.
    const counter = name.endsWith(armedEnd) ? tries : '';
    changes.push({ path: join(entriesOf(boot), `${name}${counter}.conf`), text });
  }
  return changes;
}

/** Whether an entry of this name (without counter) is one that `changes` or the capture has made. */
function isOurs(token: string, name: string): boolean {
  if (name === fallbackName(token)) return true;
  return name.startsWith(`${token}-`) && (name.endsWith(armedEnd) || name.endsWith(previousEnd));
}

interface PlainEntry {
  /** Of type #1. */
  readonly text: string;
  /** Of a unified kernel image, which is not in the text; undefined: there is none. */
  readonly commandLine?: string;
}

/** kernel-install's entries of this system, by version. Where there are both, systemd-boot has the unified kernel image first. */
async function plainEntries(boot: string, token: string): Promise<ReadonlyMap<string, PlainEntry>> {
  const found = new Map<string, PlainEntry>();
  for (const file of await entryFiles(boot)) {
    const name = parseEntryName(file)?.name;
    if (name === undefined || !name.startsWith(`${token}-`) || isOurs(token, name)) continue;
    const text = await readFile(join(entriesOf(boot), file), 'latin1').catch(() => '');
    // An entry for an image of its own kind (efi, uki) has no kernel that another could take the place of.
    if (entryValue(text, 'linux') !== undefined) found.set(name.slice(token.length + 1), { text });
  }
  return new Map([...found, ...(await unifiedKernels(boot, token))]);
}

/** "+3", as /etc/kernel/tries asks for, or "". */
async function triesOf(root: string): Promise<string> {
  const text = await readFile(join(root, 'etc/kernel/tries'), 'utf8').catch(() => '');
  return /^\d+\s*$/.test(text) ? `+${text.trim()}` : '';
}

/** What the capture copies to loader/entries, with the name of the last capture added (boot-once set-systemd-boot). */
async function fallbackChange(
  { fallbackEntry }: SystemdBootSystem,
  store: string,
  plain: ReadonlyMap<string, PlainEntry>,
  offers: readonly Offer[],
): Promise<FileChange> {
  const { boot, token } = placeOf(store);
  const versions = offers.map(({ kernel }) => kernel.version).filter((version) => plain.has(version));
  const named = fallbackEntry === undefined ? undefined : await readEntry(boot, fallbackEntry);
  const entry = named ?? plain.get(versions[1] ?? versions[0] ?? '');
  // Options of an entry take the place of the image's own, where Secure Boot lets them: so they are all of them.
  const own = entry?.commandLine === undefined ? [] : [entry.commandLine];
  const changed =
    entry === undefined
      ? undefined
      : changedEntry(entry.text, {
          title: ', after captures in a row',
          words: [...own, ...fallbackWords],
          sortKey: fallbackSortKey,
        });
  return { path: join(store, `${fallbackName(token)}.conf`), text: changed };
}

/** By its id, with or without ".conf", whatever its counter is. */
async function readEntry(boot: string, id: string): Promise<PlainEntry | undefined> {
  const wanted = id.replace(/\.conf$/, '');
  const file = (await entryFiles(boot)).find((each) => parseEntryName(each)?.name === wanted);
  if (file === undefined) return undefined;
  const text = await readFile(join(entriesOf(boot), file), 'latin1').catch(() => undefined);
  return text === undefined ? undefined : { text };
}

/** Needs no room. */
async function withdraw(store: string, version: string): Promise<void> {
  const { boot, token } = placeOf(store);
  await makeChanges(
    await entriesWithout(boot, (name) =>
      [armedName(token, version), previousName(token, version)].includes(name),
    ),
  );
}

/** Those whose name, without counter, `goes`. */
async function entriesWithout(boot: string, goes: (name: string) => boolean): Promise<readonly FileChange[]> {
  return (await entryFiles(boot)).flatMap((file) => {
    const name = parseEntryName(file)?.name;
    return name !== undefined && goes(name) ? [{ path: join(entriesOf(boot), file), text: undefined }] : [];
  });
}

/** Nothing has to lead to entries; but a payload whose kernel has none of kernel-install's is of no use. Throws `unsupported`. */
async function requireEntries(store: string): Promise<void> {
  const versions: string[] = [];
  for (const version of await readdir(store)) {
    if (/\.(?:old|new|conf)$/.test(version)) continue;
    if (await exists(join(store, version, settingsFile))) versions.push(version);
  }
  await requireEntriesOf(store, versions);
}

async function requireEntriesOf(store: string, versions: readonly string[]): Promise<void> {
  const { boot, token } = placeOf(store);
  const plain = await plainEntries(boot, token);
  for (const version of versions) {
    if (plain.has(version)) continue;
    throw new SaveoopsError('unsupported', 'kernel-install has made no entry for an installed kernel', {
      where: entriesOf(boot),
      found: `no ${token}-${version}.conf with a line "linux", and no EFI/Linux/${token}-${version}.efi`,
      wanted: 'the plain entry, from which the armed one is made',
      hint: `kernel-install add ${version} /boot/vmlinuz-${version}`,
    });
  }
}

async function leaveChanges(store: string): Promise<readonly FileChange[]> {
  const { boot, token } = placeOf(store);
  return [
    ...(await entriesWithout(boot, (name) => isOurs(token, name))),
    { path: join(store, `${fallbackName(token)}.conf`), text: undefined },
  ];
}
