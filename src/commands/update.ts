/** `saveoops update`: what package hooks and administrators run to keep /boot in step. See docs/distributors.md. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { checkVersion, installedKernels, type InstalledKernel } from '../boot/installed-kernels.js';
import { extlinux } from '../boot/extlinux.js';
import type { Loader } from '../boot/loader.js';
import { withLock } from '../boot/lock.js';
import { digestFile, type NewFile } from '../boot/payload-store.js';
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
import { armedAppend } from '../config/syslinux-config.js';
import { composeFiles } from '../compose/compose-files.js';
import type { ComposeOptions } from '../compose/compose-options.js';
import { payloadFile } from '../compose/payload-files.js';
import { reusePayload } from '../compose/reuse-payload.js';
import { renderError, SaveoopsError } from '../errors.js';
import { makeFolder } from '../host/files.js';
import { generator } from '../host/version.js';
import { verifyPayload } from './inspect.js';

export interface UpdateOptions {
  /** Folder with vmlinuz-V. */
  readonly boot: string;
  /** The user's syslinux.cfg or extlinux.conf; undefined: Saveoops is installed but was never asked to arm. */
  readonly bootConfig: string | undefined;
  /** At most one of the next four; none: every installed kernel. */
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

export interface UpdateIo {
  readonly out: (text: string) => void;
  readonly progress: (text: string) => void;
}

/** What kernel-install and u-boot-menu read, too. */
const commandLineFile = '/etc/kernel/cmdline';

/** Throws every kind of SaveoopsError; the menu is one that boots then, too. */
export async function runUpdate(options: UpdateOptions, io: UpdateIo): Promise<void> {
  const { boot, bootConfig } = options;
  checkActions(options);
  if (bootConfig === undefined) {
    if (options.hook) return;
    throw new SaveoopsError('usage', 'no boot configuration is named', {
      where: 'boot-config in /etc/saveoops.yaml, or --boot-config',
      found: 'nothing',
      wanted: "the configuration of this machine's Syslinux or EXTLINUX",
      hint: 'for example boot-config: /boot/extlinux/extlinux.conf',
    });
  }
  // The lock is on the folder of the payloads.
  await makeFolder(join(boot, 'saveoops'), 'a place that can be written');
  await withLock(join(boot, 'saveoops'), async () => {
    if (options.disable) await disable({ loader: loaderOf(options, bootConfig) });
    else await act(options, await describe(options, bootConfig, io), io);
  });
}

async function describe(options: UpdateOptions, bootConfig: string, io: UpdateIo): Promise<Update> {
  const { boot, build, force } = options;
  const append = await commandLine(build.append);
  const wanted = {
    ...build,
    append,
    // The generated configuration of build has no entry of another kernel, the menu does.
    fallbackEntry: build.fallbackEntry === plainEntry ? fallbackLabel : build.fallbackEntry,
    format: 'com32' as const,
  };
  const others = [wanted.crashKernel, wanted.crashInitrd, wanted.dumpKey];
  const digests = await Promise.all(
    others.map(async (path) => (path === undefined ? null : await digestFile(path))),
  );
  const settings = { generator, ...wanted, kernel: undefined, initrd: undefined, digests };
  return {
    boot,
    loader: loaderOf({ ...options, build: wanted }, bootConfig),
    settings: `${JSON.stringify(settings, null, 1)}\n`,
    force,
    build: (kernel, previous) => buildPayloadOf(kernel, boot, wanted, previous),
    say: (line) => {
      io.out(`saveoops: ${line}\n`);
    },
  };
}

function loaderOf({ boot, build }: Pick<UpdateOptions, 'boot' | 'build'>, bootConfig: string): Loader {
  return extlinux({
    boot,
    bootConfig,
    append: build.append,
    armedAppend: armedAppend(build),
    initrdBeside: build.initrdBeside,
    verify: verifyPayload,
  });
}

async function act(
  { before, remove, kernelVersion }: UpdateOptions,
  update: Update,
  io: UpdateIo,
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
function checkActions({ kernelVersion, before, remove, disable }: UpdateOptions): void {
  const given = [
    ...(kernelVersion === undefined ? [] : ['--kernel-version']),
    ...(before === undefined ? [] : ['--before']),
    ...(remove === undefined ? [] : ['--remove']),
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

async function buildPayloadOf(
  { kernel, initrd }: InstalledKernel,
  boot: string,
  build: ComposeOptions,
  previous: string | undefined,
): Promise<readonly NewFile[]> {
  const paths = initrd === undefined ? [] : [join(boot, initrd)];
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
