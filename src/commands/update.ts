/** `saveoops update`: what package hooks and administrators run to keep /boot in step. See docs/distributors.md. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { checkVersion, installedKernels, type InstalledKernel } from '../boot/installed-kernels.js';
import { extlinux } from '../boot/extlinux.js';
import { pending } from '../boot/file-change.js';
import type { Loader } from '../boot/loader.js';
import { withLock } from '../boot/lock.js';
import type { MachineKey } from '../boot/machine-key.js';
import { machineModules } from '../boot/machine-modules.js';
import { grub } from '../boot/grub.js';
import { fallbackName, findEntries, systemdBoot } from '../boot/systemd-boot.js';
import { findTrust, noteWaiting, type Trust } from '../boot/trust.js';
import {
  digestFile,
  removeStored,
  storeIn,
  writeWhenDifferent,
  type NewFile,
} from '../boot/payload-store.js';
import {
  beforeChange,
  disable,
  orphans,
  rehearseDisable,
  rehearseLoader,
  rehearseVersion,
  removeVersion,
  updateVersion,
  type Outcome,
  type Update,
} from '../boot/update-boot.js';
import { mebibytes } from '../bytes/mebibytes.js';
import { plainEntry } from '../capture-initramfs/in-a-row.js';
import { fallbackLabel } from '../config/boot-menu.js';
import { armedAppend, oopsPanicWord } from '../config/syslinux-config.js';
import { composeFiles } from '../compose/compose-files.js';
import { checkBootWatchdog, type ComposeOptions } from '../compose/compose-options.js';
import { payloadFile } from '../compose/payload-files.js';
import { reusePayload } from '../compose/reuse-payload.js';
import { renderError, SaveoopsError } from '../errors.js';
import { makeFolder } from '../host/files.js';
import type { Output } from '../host/output.js';
import { generator } from '../host/version.js';
import { verifyPayload } from '../library/inspect.js';
import { requireBootedService, requireWatchdogDriver } from '../system/boot-watchdog.js';
import { forJson } from '../safe-text.js';
import { updateLoaders, type UpdateLoader } from './options.js';

export interface UpdateOptions {
  /** Folder with vmlinuz-V. */
  readonly boot: string;
  /** "/" of the system. */
  readonly root: string;
  /** With `enable`, `bootConfig` and what an earlier `enable` has noted undefined, Saveoops was never asked to arm. */
  readonly loader: UpdateLoader | undefined;
  /** The same, and noted for hooks. */
  readonly enable: UpdateLoader | undefined;
  /** The user's syslinux.cfg or extlinux.conf. */
  readonly bootConfig: string | undefined;
  /** At most one of --enable and the next four; none: every installed kernel. */
  readonly kernelVersion: string | undefined;
  readonly before: string | undefined;
  readonly remove: string | undefined;
  readonly disable: boolean;
  readonly force: boolean;
  /** Started by a package: no word when nothing is to be armed. */
  readonly hook: boolean;
  /** Build, check, and write nothing. */
  readonly dryRun: boolean;
  readonly json: boolean;
  /** As for `saveoops build`; kernel, initrd and format are chosen here. */
  readonly build: ComposeOptions;
}

/** What kernel-install and u-boot-menu read, too. */
const commandLineFile = '/etc/kernel/cmdline';

/** What `saveoops update --json` prints. */
export interface UpdateResult {
  readonly version: 1;
  /** true: nothing was written, and this is what would be done. */
  readonly dryRun: boolean;
  /** null: none is named, so nothing is to be armed (--hook). */
  readonly loader: UpdateLoader | null;
  /** Folder with the payloads, one folder for each version. */
  readonly store: string | null;
  /** Each kernel version that was looked at. */
  readonly kernels: readonly Outcome[];
  /** Paths of the boot loader's files that would be written or removed; null without --dry-run. */
  readonly loaderFiles: readonly string[] | null;
  /** Why payloads are built and not armed yet; null: nothing is in the way. */
  readonly waiting: { readonly why: string; readonly advice: string } | null;
}

/**
 * Throws every kind of SaveoopsError; the menu is one that boots then, too. What was done for the other kernels is printed before the
 * error of one is thrown.
 */
export async function runUpdate(options: UpdateOptions, io: Output): Promise<void> {
  const { boot, dryRun, json } = options;
  checkActions(options);
  checkBootWatchdog(options.build);
  const name = await loaderName(options);
  if (name === undefined) {
    if (!options.hook) throw noLoader();
    const nothing: UpdateResult = {
      ...{ version: 1, dryRun, loader: null, store: null, kernels: [] },
      ...{ loaderFiles: dryRun ? [] : null, waiting: null },
    };
    if (json) io.out(`${forJson(nothing)}\n`);
    return;
  }
  if (dryRun) return await run(name, options, io);
  // A folder that is not there is a wrong name, and nothing is made below it.
  const installed = await installedKernels(boot);
  const { hook, disable: undo, kernelVersion, before, remove } = options;
  const all = !undo && [kernelVersion, before, remove].every((version) => version === undefined);
  if (all && !hook && installed.length === 0 && !json) io.out(`saveoops: no kernel (vmlinuz-V) in ${boot}\n`);
  // The lock is on the folder of the payloads.
  await makeFolder(storeIn(boot), 'a place that can be written');
  await withLock(storeIn(boot), async () => {
    await run(name, options, io);
  });
}

function noLoader(): SaveoopsError {
  return new SaveoopsError('usage', 'no boot loader is named', {
    where: '/etc/saveoops.yaml',
    found: 'neither loader nor boot-config',
    wanted: "this machine's boot loader, or the configuration of its Syslinux or EXTLINUX",
    hint: 'for example saveoops update --enable grub, or boot-config: /boot/extlinux/extlinux.conf',
  });
}

async function run(name: UpdateLoader, options: UpdateOptions, io: Output): Promise<void> {
  const { dryRun, json } = options;
  const say = (kernel: Outcome): void => {
    const line = json ? undefined : lineOf(kernel, dryRun);
    if (line !== undefined) io.out(`saveoops: ${line}\n`);
  };
  const { failures, ...done } = options.disable
    ? await takeBack(name, options, say)
    : await arm(name, options, io, say);
  const result: UpdateResult = { version: 1, dryRun, loader: name, ...done };
  if (json) io.out(`${forJson(result)}\n`);
  else if (dryRun) io.out(renderRehearsal(result));
  for (const error of failures.slice(1)) {
    if (!(error instanceof SaveoopsError)) throw error;
    io.progress(`${renderError(error)}\n`);
  }
  if (failures.length > 0) throw failures[0];
}

/** undefined: what was asked for was done, and there is no more to say. */
function lineOf({ version, action, why, armed, size }: Outcome, dryRun: boolean): string | undefined {
  if (action === 'failed') return dryRun ? `${version}: would not be armed: ${why}` : undefined;
  if (dryRun) {
    if (action === 'removed') return `${version}: its entries and payloads would be removed (${why})`;
    if (action === 'disarmed') return `${version}: its plain entry would boot (${why})`;
    const does = action === 'kept' ? 'would stay as it is' : `would be ${action} (${mebibytes(size)})`;
    return `${version}: ${does}${armed ? ' and armed' : ', but its plain entry would boot'}: ${why}`;
  }
  if (action === 'removed' || action === 'disarmed') return undefined;
  if (!armed) return `${version}: built, but its plain entry boots: ${why}`;
  return `${version}: ${action === 'kept' ? 'up to date' : 'armed'}`;
}

function renderRehearsal({ loader, loaderFiles, waiting }: UpdateResult): string {
  const files = loaderFiles ?? [];
  const lines = [
    files.length === 0
      ? `${loader}: no file would change`
      : `${loader}: would write or remove ${files.join(', ')}`,
    ...(waiting === null ? [] : [`${waiting.why}\n  do: ${waiting.advice}`]),
    'nothing was written',
  ];
  return lines.map((line) => `saveoops: ${line}\n`).join('');
}

interface Done extends Pick<UpdateResult, 'store' | 'kernels' | 'loaderFiles' | 'waiting'> {
  /** Of kernels that could not be armed, which keeps no other from it. */
  readonly failures: readonly unknown[];
}

async function takeBack(
  name: UpdateLoader,
  options: UpdateOptions,
  say: (kernel: Outcome) => void,
): Promise<Done> {
  const { boot, dryRun } = options;
  const loader = describeLoader(name, options);
  const store = await loader.locate();
  const planned = dryRun ? await rehearseDisable({ loader }) : undefined;
  const kernels = (planned?.versions ?? (await disable({ loader }))).map((version) =>
    gone(version, 'removed', '--disable'),
  );
  kernels.forEach(say);
  if (planned !== undefined) {
    const loaderFiles = [...planned.paths, ...(await wouldNote(boot, undefined))];
    return { store, kernels, loaderFiles, waiting: null, failures: [] };
  }
  await removeStored(storeIn(boot), notedFile);
  await noteWaiting(storeIn(boot), undefined);
  return { store, kernels, loaderFiles: null, waiting: null, failures: [] };
}

async function arm(
  name: UpdateLoader,
  options: UpdateOptions,
  io: Output,
  say: (kernel: Outcome) => void,
): Promise<Done> {
  const { boot, dryRun, enable } = options;
  const trust = await findTrust(name, options);
  const update = await describe(name, options, trust, io);
  const waiting =
    trust.refusal === undefined ? null : { why: trust.refusal.why, advice: trust.refusal.advice };
  const store = await update.loader.locate();
  if (dryRun) {
    const acted = await act(options, update, say);
    const noted = enable === undefined ? [] : await wouldNote(boot, enable);
    const loaderFiles = [...(await rehearseLoader(update, acted.kernels)), ...noted];
    return { ...acted, store, waiting, loaderFiles };
  }
  if (enable !== undefined) await writeWhenDifferent(join(storeIn(boot), notedFile), `${enable}\n`);
  try {
    return { ...(await act(options, update, say)), store, waiting, loaderFiles: null };
  } finally {
    const news = await noteWaiting(storeIn(boot), trust.refusal);
    if (news !== undefined) io.progress(`saveoops: ${news}\n`);
  }
}

const gone = (version: string, action: 'removed' | 'disarmed', why: string): Outcome => ({
  version,
  action,
  why,
  armed: false,
  size: 0,
});

/** In /boot/saveoops: the loader that --enable has named, for hooks. */
const notedFile = 'loader';

/** Its path, where it does not say so already. */
async function wouldNote(boot: string, loader: UpdateLoader | undefined): Promise<readonly string[]> {
  const text = loader === undefined ? undefined : `${loader}\n`;
  return (await pending([{ path: join(storeIn(boot), notedFile), text }])).map(({ path }) => path);
}

async function loaderName(options: UpdateOptions): Promise<UpdateLoader | undefined> {
  const given = options.enable ?? options.loader;
  if (given !== undefined) return given;
  const noted = await readFile(join(storeIn(options.boot), notedFile), 'latin1').catch(() => '');
  const known = updateLoaders.find((name) => name === noted.trim());
  return known ?? (options.bootConfig === undefined ? undefined : 'extlinux');
}

/** What is built, and with which settings; `loader` decides format and command line. */
async function describe(
  name: UpdateLoader,
  options: UpdateOptions,
  trust: Trust,
  io: Output,
): Promise<Update> {
  const { boot, force } = options;
  const wanted = { ...(await buildFor(name, options, trust)), machineModules: await modulesOf(options, io) };
  const others = [wanted.crashKernel, wanted.crashInitrd, wanted.dumpKey];
  const digests = await Promise.all(
    others.map(async (path) => (path === undefined ? null : await digestFile(path))),
  );
  // Words of the armed entry are not in an image that takes its command line from the loader.
  const signer = trust.key && Buffer.from(trust.key.der).toString('base64');
  const settings = { generator, ...wanted, kernel: undefined, initrd: undefined, digests, signer };
  return {
    boot,
    refusal: (text) => trust.refusalOf(text)?.why,
    loader: describeLoader(name, options, wanted.append, trust.key),
    settings: `${JSON.stringify(settings, null, 1)}\n`,
    force,
    build: async (kernel, previous) => {
      if (wanted.bootWatchdog > 0) await requireStopped(options.root, kernel.version);
      return await buildPayloadOf(kernel, boot, wanted, previous);
    },
  };
}

/** Of the disk that captures are saved on, with a word where `host-only` cannot be had. */
async function modulesOf({ root, boot, build }: UpdateOptions, io: Output): Promise<readonly string[]> {
  if (build.crashInitrd !== undefined) return [];
  const modules = await machineModules({ root, boot, save: build.save });
  if (build.hostOnly && modules.length === 0 && build.save !== undefined && build.save !== 'none') {
    io.progress(
      `saveoops: save: ${build.save} is no disk of this machine now, so that host-only takes the default modules\n`,
    );
  }
  return modules;
}

/** What a loader's payload is made of, beside the kernel. Throws `usage` for options that would do nothing, `unsupported`. */
async function buildFor(name: UpdateLoader, options: UpdateOptions, trust: Trust): Promise<ComposeOptions> {
  const { build } = options;
  const fallback = (label: string): string =>
    build.fallbackEntry === plainEntry ? label : build.fallbackEntry;
  if (name === 'extlinux') {
    return {
      ...build,
      append: await commandLine(build.append),
      // The generated configuration of build has no entry of another kernel, the menu does.
      fallbackEntry: fallback(fallbackLabel),
      format: 'com32',
    };
  }
  refuseAppend(name, build.append);
  const kernelOnly = {
    ...build,
    // The loader has command line and initramfs.
    initrdBeside: true,
    oopsPanic: false,
    bootOnce: name,
    signKey: trust.key?.key,
    signCert: trust.key?.certificate,
  };
  if (name === 'grub') return { ...kernelOnly, fallbackEntry: fallback(fallbackLabel), format: 'bzimage' };
  return { ...kernelOnly, fallbackEntry: fallbackName((await findEntries(options)).token), format: 'efi' };
}

/** Where an armed entry is made from the plain one, and has its command line from there. Throws `usage`. */
function refuseAppend(name: 'grub' | 'systemd-boot', append: string): void {
  if (append === '') return;
  throw new SaveoopsError('usage', 'a contradiction', {
    where: 'append',
    found: `loader ${name} and ${JSON.stringify(append)}`,
    wanted: {
      grub: 'GRUB_CMDLINE_LINUX in /etc/default/grub, which armed and plain entries get alike',
      'systemd-boot': `${commandLineFile}, from which kernel-install makes the plain entry: the armed one is a copy of it`,
    }[name],
  });
}

/** @param append the command line, where the loader gets it from here */
function describeLoader(
  name: UpdateLoader,
  options: UpdateOptions,
  append = '',
  signer?: MachineKey,
): Loader {
  const { boot, root, bootConfig, build } = options;
  const words = build.oopsPanic ? [oopsPanicWord] : [];
  if (name === 'grub') return grub({ boot, words });
  if (name === 'systemd-boot') {
    const fallbackEntry = build.fallbackEntry === plainEntry ? undefined : build.fallbackEntry;
    return systemdBoot({ root, bootConfig, words, fallbackEntry, signer });
  }
  if (bootConfig === undefined) {
    throw new SaveoopsError('usage', 'no boot configuration is named', {
      where: 'boot-config in /etc/saveoops.yaml, or --boot-config',
      found: 'nothing',
      wanted: "the configuration of this machine's Syslinux or EXTLINUX",
      hint: 'for example boot-config: /boot/extlinux/extlinux.conf',
    });
  }
  return extlinux({
    boot,
    bootConfig,
    append,
    armedAppend: armedAppend({ ...build, append }),
    initrdBeside: build.initrdBeside,
    afterReset: build.afterReset,
    verify: verifyPayload,
  });
}

/** Does what was asked for, or, in a dry run, finds out what it would come to. */
async function act(
  { before, remove, kernelVersion, dryRun }: UpdateOptions,
  update: Update,
  say: (kernel: Outcome) => void,
): Promise<Pick<Done, 'kernels' | 'failures'>> {
  const kernels: Outcome[] = [];
  const failures: unknown[] = [];
  const did = (kernel: Outcome): void => {
    kernels.push(kernel);
    say(kernel);
  };
  const removed = async (version: string, why: string): Promise<void> => {
    if (!dryRun) await removeVersion(update, version);
    did(gone(version, 'removed', why));
  };
  const arms = async (version: string): Promise<void> => {
    try {
      did(await (dryRun ? rehearseVersion : updateVersion)(update, version));
    } catch (error) {
      failures.push(error);
      did({ version, action: 'failed', why: reasonOf(error), armed: false, size: 0 });
    }
  };
  if (before !== undefined) {
    if (!dryRun) await beforeChange(update, checkVersion(before));
    did(gone(checkVersion(before), 'disarmed', '--before'));
  } else if (remove !== undefined) await removed(checkVersion(remove), '--remove');
  else if (kernelVersion !== undefined) await arms(checkVersion(kernelVersion));
  else {
    for (const version of await orphans(update)) await removed(version, 'its kernel is gone');
    // One kernel that cannot be armed does not keep the others from it.
    for (const { version } of await installedKernels(update.boot)) await arms(version);
  }
  return { kernels, failures };
}

function reasonOf(error: unknown): string {
  if (!(error instanceof SaveoopsError)) return String(error);
  return `${error.message} (${error.where}: ${error.found})`;
}

/** Throws `usage`. */
function checkActions({ kernelVersion, before, remove, enable, disable }: UpdateOptions): void {
  const given = [
    ...(kernelVersion === undefined ? [] : ['--kernel-version']),
    ...(before === undefined ? [] : ['--before']),
    ...(remove === undefined ? [] : ['--remove']),
    ...(enable === undefined ? [] : ['--enable']),
    ...(disable ? ['--disable'] : []),
  ];
  if (given.length <= 1) return;
  throw new SaveoopsError('usage', 'a contradiction', {
    where: 'saveoops update',
    found: given.join(' and '),
    wanted: 'one of them',
  });
}

/** Without its root= the plain entry would not boot, and what is running now may be another system. */
async function commandLine(append: string): Promise<string> {
  if (append !== '') return append;
  const text = await readFile(commandLineFile, 'utf8').catch(() => '');
  const words = text.split(/\s+/).filter((word) => word !== '');
  if (words.length > 0) return words.join(' ');
  throw new SaveoopsError('usage', 'the command line of the kernels is not known', {
    where: `append in /etc/saveoops.yaml, or ${commandLineFile}`,
    found: 'neither',
    wanted: 'what your boot configuration has after APPEND',
    hint: 'for example append: root=UUID=... ro quiet',
  });
}

/** A watchdog that nobody stops resets a healthy machine. Throws `unsupported`. */
async function requireStopped(root: string, version: string): Promise<void> {
  await requireBootedService(root);
  await requireWatchdogDriver(root, version);
}

async function buildPayloadOf(
  { kernel, initrd }: InstalledKernel,
  boot: string,
  build: ComposeOptions,
  previous: string | undefined,
): Promise<readonly NewFile[]> {
  // A composed image holds no initramfs: its loader reads the one in /boot.
  const paths = build.format === 'com32' && initrd !== undefined ? [join(boot, initrd)] : [];
  if (previous !== undefined && build.format === 'com32') {
    try {
      return await reusePayload(join(previous, payloadFile), paths);
    } catch (error) {
      // A payload that is damaged or of another layout is built anew, as if there were none.
      if (!(error instanceof SaveoopsError)) throw error;
    }
  }
  const { files } = await composeFiles({ ...build, kernel: join(boot, kernel), initrd: paths });
  return files;
}
