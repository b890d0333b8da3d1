/**
 * Kernel modules by which this machine reaches the disk that captures are saved on, for the capture initramfs: the driver of every
 * device on the way to it, as sysfs has them bound, and its file system. The default set (src/capture-initramfs/module-set.ts) has
 * the drivers of common machines; this knows the one that it runs on.
 */
import { readdir, realpath, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { deviceLinkFolders, readMounts, type Mount } from '../host/mounts.js';

export interface SavingMachine {
  /** "/" of the system; dev/, proc/ and sys/ are below it. */
  readonly root: string;
  /** Folder that `save: boot` means a file system of. */
  readonly boot: string;
  /** As the option `save`. */
  readonly save: string | undefined;
}

/** In alphabetical order; none where nothing is saved, or the disk is not there: a chroot, an image that is being made. */
export async function machineModules(machine: SavingMachine): Promise<readonly string[]> {
  const target = await findTarget(machine);
  if (target === undefined) return [];
  const { device, fileSystem } = target;
  const found = new Set(fileSystem === undefined ? [] : [fileSystem]);
  await addDrivers(join(machine.root, 'sys/class/block', device), found);
  // What has a driver built in has no module; ext2 and ext3 are ext4's.
  return [...found].map((name) => name.replaceAll('-', '_').replace(/^ext[23]$/, 'ext4')).sort();
}

interface Target {
  /** Of /sys/class/block. */
  readonly device: string;
  /** As mount says it; undefined: it is not mounted. */
  readonly fileSystem: string | undefined;
}

async function findTarget({ root, boot, save }: SavingMachine): Promise<Target | undefined> {
  const mounts = await readMounts(root);
  if (save === 'boot') {
    const folder = await realpath(boot).catch(() => boot);
    const mount = mounts
      .filter(({ point }) => `${folder}/`.startsWith(point === '/' ? '/' : `${point}/`))
      // Of two on one place the later one is seen.
      .reduce<Mount | undefined>(
        (best, each) => (each.point.length >= (best?.point.length ?? 0) ? each : best),
        undefined,
      );
    if (mount === undefined) return undefined;
    const device = await deviceName(root, mount.source);
    return device === undefined ? undefined : { device, fileSystem: mount.type };
  }
  const [, kind = '', name = ''] = /^([A-Z]+)=([^:]*)/.exec(save ?? '') ?? [];
  const folder = deviceLinkFolders[kind];
  if (folder === undefined) return undefined;
  const device = await deviceName(root, `/dev/disk/${folder}/${name}`);
  if (device === undefined) return undefined;
  for (const { source, type } of mounts) {
    if ((await deviceName(root, source)) === device) return { device, fileSystem: type };
  }
  return { device, fileSystem: undefined };
}

/** "sda1" of /dev/disk/by-uuid/...; undefined for what is no device that is there. */
async function deviceName(root: string, path: string): Promise<string | undefined> {
  if (!path.startsWith('/dev/')) return undefined;
  const device = basename(await realpath(join(root, path)).catch(() => path));
  const known = await stat(join(root, 'sys/class/block', device)).catch(() => undefined);
  return known === undefined ? undefined : device;
}

/** Drivers of a block device, of all that it hangs on, and of the disks below a mapped one. */
async function addDrivers(device: string, found: Set<string>): Promise<void> {
  const place = await realpath(device).catch(() => undefined);
  if (place === undefined) return;
  for (
    let folder = place;
    basename(folder) !== 'devices' && folder !== dirname(folder);
    folder = dirname(folder)
  ) {
    const module = await realpath(join(folder, 'driver/module')).catch(() => undefined);
    if (module !== undefined) found.add(basename(module));
  }
  for (const below of await readdir(join(place, 'slaves')).catch(() => [])) {
    await addDrivers(join(place, 'slaves', below), found);
  }
}
