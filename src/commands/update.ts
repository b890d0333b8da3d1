/** `saveoops update`: what package hooks and administrators run to keep /boot in step. See docs/distributors.md. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { checkVersion, installedKernels, type InstalledKernel } from '../boot/installed-kernels.js';
import { extlinux } from '../boot/extlinux.js';
import type { Loader } from '../boot/loader.js';
import { withLock } from '../boot/lock.js';
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
  removeVersion,
  updateVersion,
  type Update,
} from '../boot/update-boot.js';
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
  /** As for `saveoops build`; kernel, initrd and format are chosen here. */
  readonly build: ComposeOptions;
}

/** What kernel-install and u-boot-menu read, too. */
const commandLineFile = '/etc/kernel/cmdline';

/** Throws every kind of SaveoopsError; the menu is one that boots then, too. */
export async function runUpdate(options: UpdateOptions, io: Output): Promise<void> {
  const { boot } = options;
  checkActions(options);
  checkBootWatchdog(options.build);
  const name = await loaderName(options);
  if (name === undefined) {
    if (options.hook) return;
    throw new SaveoopsError('usage', 'no boot loader is named', {
      where: '/etc/saveoops.yaml',
      found: 'neither loader nor boot-config',
      wanted: "this machine's boot loader, or the configuration of its Syslinux or EXTLINUX",
      hint: 'for example saveoops update --enable grub, or boot-config: /boot/extlinux/extlinux.conf',
    });
  }
  // The lock is on the folder of the payloads.
  await makeFolder(storeIn(boot), 'a place that can be written');
  await withLock(storeIn(boot), async () => {
    if (options.disable) {
      await disable({ loader: describeLoader(name, options) });
      await removeStored(storeIn(boot), notedFile);
      await noteWaiting(storeIn(boot), undefined);
      return;
    }
    const trust = await findTrust(name, options);
    const update = await describe(name, options, trust, io);
    if (options.enable !== undefined) {
      await writeWhenDifferent(join(storeIn(boot), notedFile), `${options.enable}\n`);
    }
    try {
      await act(options, update, io);
    } finally {
      const news = await noteWaiting(storeIn(boot), trust.refusal);
      if (news !== undefined) io.progress(`saveoops: ${news}\n`);
    }
  });
}

/** In /boot/saveoops: the loader that --enable has named, for hooks. */
const notedFile = 'loader';

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
  const wanted = await buildFor(name, options, trust);
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
    loader: describeLoader(name, options, wanted.append),
    settings: `${JSON.stringify(settings, null, 1)}\n`,
    force,
    build: async (kernel, previous) => {
      if (wanted.bootWatchdog > 0) await requireStopped(options.root, kernel.version);
      return await buildPayloadOf(kernel, boot, wanted, previous);
    },
    say: (line) => {
      io.out(`saveoops: ${line}\n`);
    },
  };
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
function describeLoader(name: UpdateLoader, options: UpdateOptions, append = ''): Loader {
  const { boot, root, bootConfig, build } = options;
  const words = build.oopsPanic ? [oopsPanicWord] : [];
  if (name === 'grub') return grub({ boot, words });
  if (name === 'systemd-boot') {
    const fallbackEntry = build.fallbackEntry === plainEntry ? undefined : build.fallbackEntry;
    return systemdBoot({ root, bootConfig, words, fallbackEntry });
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

async function act(
  { before, remove, kernelVersion }: UpdateOptions,
  update: Update,
  io: Output,
): Promise<void> {
  if (before !== undefined) return await beforeChange(update, checkVersion(before));
  if (remove !== undefined) return await removeVersion(update, checkVersion(remove));
  if (kernelVersion !== undefined) return await updateVersion(update, checkVersion(kernelVersion));
  for (const version of await orphans(update)) await removeVersion(update, version);
  // One kernel that cannot be armed does not keep the others from it.
  const failures: unknown[] = [];
  for (const { version } of await installedKernels(update.boot)) {
    await updateVersion(update, version).catch((error: unknown) => failures.push(error));
  }
  for (const error of failures.slice(1)) {
    if (!(error instanceof SaveoopsError)) throw error;
    io.progress(`${renderError(error)}\n`);
  }
  if (failures.length > 0) throw failures[0];
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
