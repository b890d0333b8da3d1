/** Where the captures of this system are, when nobody says where. */
import { readFile, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { configuredValue } from '../config/configured-value.js';
import { deviceLinkFolders, readMounts } from '../host/mounts.js';
import { isFolder } from '../host/presence.js';

const usual: readonly string[] = ['/boot/saveoops', '/boot/efi/saveoops', '/saveoops'];

/**
 * The directories that exist: the one that the kernel's command line names (`saveoops.save=`, else `save` in
 * /etc/saveoops.yaml; for "boot" `saveoops.boot=`), where that file system is mounted; then the usual ones.
 * @param root where the system is; "/" but in tests
 */
export async function defaultPlaces(root = '/'): Promise<readonly string[]> {
  const named = await namedPlace(root);
  const places = [...(named === undefined ? [] : [named]), ...usual.map((place) => join(root, place))];
  const exists = await Promise.all(places.map(isFolder));
  return [...new Set(places.filter((_, index) => exists[index] === true))];
}

async function namedPlace(root: string): Promise<string | undefined> {
  const words = (await text(join(root, 'proc/cmdline'))).split(/\s+/);
  const last = (name: string): string | undefined =>
    words.findLast((word) => word.startsWith(`${name}=`))?.slice(name.length + 1);
  const boot = last('saveoops.boot');
  const save =
    last('saveoops.save') ?? (await configuredSave(root)) ?? (boot === undefined ? undefined : 'boot');
  const where =
    save === 'boot' && boot !== undefined
      ? `${boot.startsWith('PARTUUID=') ? boot : `UUID=${boot}`}:/saveoops`
      : save;
  const [, by = '', value = '', folder = '/saveoops'] =
    /^([A-Z]+)=([^:/]{1,200})(?::(\/[^\s]*))?$/.exec(where ?? '') ?? [];
  const names = deviceLinkFolders[by];
  if (names === undefined) return undefined;
  const device = await realpath(join(root, 'dev/disk', names, value)).catch(() => undefined);
  if (device === undefined) return undefined;
  const mounted = await mountPoint(root, device);
  return mounted === undefined ? undefined : join(root, mounted, folder);
}

async function configuredSave(root: string): Promise<string | undefined> {
  const save = await configuredValue(root, 'save');
  return typeof save === 'string' ? save : undefined;
}

/** Where a device's whole file system is mounted. */
async function mountPoint(root: string, device: string): Promise<string | undefined> {
  for (const { top, point, source } of await readMounts(root)) {
    if (top !== '/' || !source.startsWith('/')) continue;
    if ((await realpath(join(root, source)).catch(() => undefined)) === device) return point;
  }
  return undefined;
}

async function text(path: string): Promise<string> {
  return await readFile(path, 'utf8').catch(() => '');
}
