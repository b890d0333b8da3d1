/**
 * `saveoops booted`: this boot was good, so the count of captures in a row is set back to 0, and the boot watchdog has done its work. For
 * a unit that runs late in a boot.
 */
import { lstat, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { parseEntryName } from '../config/loader-entry.js';
import { fallbackLabel } from '../config/boot-menu.js';
import { inARowFile } from '../capture-initramfs/in-a-row.js';
import { defaultPlaces } from '../saved-captures/default-places.js';
import { writeAtomic } from '../host/files.js';
import { forJson } from '../safe-text.js';
import type { Output } from '../host/output.js';
import { handOverWatchdog } from '../system/boot-watchdog.js';
import { readStatusNode } from '../system/read-status-node.js';

export interface BootedOptions {
  /** Folders of captures; none for those of this system that exist. */
  readonly dir: readonly string[];
  /** Where sys/ is: "/" of the running system. */
  readonly root: string;
  readonly json: boolean;
}

/** What `saveoops booted --json` prints. */
export interface BootedResult {
  readonly version: 1;
  /** Folders whose count of captures in a row is 0 now. */
  readonly folders: readonly string[];
}

/** Hands the watchdog over, writes 0 beside the captures where there is a count. Throws `tool`, `file` or `no-space`. */
export async function runBooted({ dir, root, json }: BootedOptions, io: Pick<Output, 'out'>): Promise<void> {
  const folders: string[] = [];
  // First: a boot that the watchdog is about to end was not good.
  // A kernel that shows no boot_params was not started by the entry stub.
  const node = await readStatusNode(root).catch(() => undefined);
  if (node !== undefined && node.bootWatchdog > 0) await handOverWatchdog(root, node.bootWatchdog);
  for (const folder of dir.length > 0 ? dir : await defaultPlaces('/')) {
    const path = join(folder, inARowFile);
    const counted = await lstat(path).then(
      (status) => status.isFile(),
      () => false,
    );
    if (counted) {
      await writeAtomic(path, [Buffer.from('0\n')]);
      folders.push(folder);
    }
    await removeUsedEntries(join(folder, '../loader/entries'));
  }
  const result: BootedResult = { version: 1, folders };
  if (json) io.out(`${forJson(result)}\n`);
}

/**
 * The entry that the capture has made for one boot by systemd-boot, which has counted its try by now. Firmware that cannot rename it would
 * start it again and again.
 */
async function removeUsedEntries(folder: string): Promise<void> {
  for (const file of await readdir(folder).catch(() => [])) {
    const entry = parseEntryName(file);
    // Without a counter it has been blessed.
    if (entry?.name.endsWith(`-${fallbackLabel}`) === true) {
      await rm(join(folder, file), { force: true });
    }
  }
}
