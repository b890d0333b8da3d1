/** `saveoops booted`: this boot was good, so the count of captures in a row is set back to 0. For a unit that runs late in a boot. */
import { lstat, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { parseEntryName } from '../config/loader-entry.js';
import { fallbackLabel } from '../config/boot-menu.js';
import { inARowFile } from '../capture-initramfs/in-a-row.js';
import { defaultPlaces } from '../saved-captures/default-places.js';
import { writeAtomic } from '../host/files.js';

export interface BootedOptions {
  /** Folders of captures; none for those of this system that exist. */
  readonly dir: readonly string[];
}

/** Writes 0 beside the captures where there is a count. Throws `file` or `no-space`. */
export async function runBooted({ dir }: BootedOptions): Promise<void> {
  for (const folder of dir.length > 0 ? dir : await defaultPlaces('/')) {
    const path = join(folder, inARowFile);
    const counted = await lstat(path).then(
      (status) => status.isFile(),
      () => false,
    );
    if (counted) await writeAtomic(path, [Buffer.from('0\n')]);
    await removeUsedEntries(join(folder, '../loader/entries'));
  }
}

/**
 * The entry that the capture has made for one boot by systemd-boot, which has counted its try by now. Firmware that cannot rename it would
 * start it again and again.
 */
async function removeUsedEntries(folder: string): Promise<void> {
  for (const file of await readdir(folder).catch(() => [])) {
    const entry = parseEntryName(file);
    if (entry?.name.endsWith(`-${fallbackLabel}`) === true && entry.counter !== '') {
      await rm(join(folder, file), { force: true });
    }
  }
}
