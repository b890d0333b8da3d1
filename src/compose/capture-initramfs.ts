/** The capture initramfs of a payload: built, or one that the user gives. */
import { buildCaptureInitramfs } from '../capture-initramfs/build-initramfs.js';
import { readDumpKey } from '../capture-initramfs/dump-key.js';
import { findModules } from '../capture-initramfs/module-tree.js';
import { SaveoopsError } from '../errors.js';
import { moduleNameOf } from '../formats/modules/modules-dep.js';
import { readInput } from '../host/files.js';
import { foreignCrashInitrd } from '../payload/build-payload.js';
import { limitsRow, type ComposeOptions } from './compose-options.js';

export interface Capture {
  readonly initramfs: { readonly bytes: Uint8Array; readonly unpackedSize: number };
  /** Where its kernel modules are from, and how many; undefined when it has none. */
  readonly modules?: { readonly folder: string; readonly count: number } | undefined;
}

/**
 * @param release uname -r of the crash kernel
 * @param append the whole of its command line
 */
export async function readCapture(
  options: ComposeOptions,
  release: string,
  append: string,
): Promise<Capture> {
  const { crashInitrd: path, captureTools: toolFolder } = options;
  if (path === undefined) {
    const tree = await findModules(release, options.crashKernel ?? options.kernel, options.modules);
    const initramfs = await buildCaptureInitramfs({
      dumps: options.dump !== 'none',
      // Only Syslinux's needs a program; others are files that boot-once writes itself.
      bootOnce: limitsRow(options) && options.bootOnce === undefined,
      dumpKey: options.dumpKey === undefined ? undefined : await readDumpKey(options.dumpKey),
      toolFolder,
      modules: tree && {
        tree,
        release,
        extra: options.captureModule,
        machine: options.machineModules,
        machineOnly: options.hostOnly && options.machineModules.length > 0,
      },
    });
    const count = initramfs.files.filter((file) => moduleNameOf(file.path) !== undefined).length;
    if (tree !== undefined && count > 0) return { initramfs, modules: { folder: tree.folder, count } };
    checkNoModules(options, release, append);
    return { initramfs };
  }
  return { initramfs: foreignCrashInitrd(await readInput(path, 'an initramfs for the crash kernel')) };
}

/**
 * A capture initramfs without kernel modules prints the log and reaches no disk. That must not come out at the crash.
 * Throws `missing-fact` when it is to save the log, or modules were asked for.
 */
function checkNoModules({ modules, captureModule }: ComposeOptions, release: string, append: string): void {
  const save = append.split(' ').findLast((word) => word.startsWith('saveoops.save='));
  const saves = save !== undefined && save !== 'saveoops.save=none';
  if (!saves && modules === undefined && captureModule.length === 0) return;
  throw new SaveoopsError('missing-fact', 'no kernel modules for the capture initramfs', {
    where: modules ?? `/lib/modules/${release}`,
    found: `none for disks or file systems${saves ? `, and ${save} needs them` : ''}`,
    wanted: `the modules of ${release}, the crash kernel`,
    hint: 'install its package, or unpack it and give the folder with --modules',
  });
}
