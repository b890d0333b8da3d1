/** `saveoops booted`: this boot was good, so the count of captures in a row is set back to 0. For a unit that runs late in a boot. */
import { lstat } from 'node:fs/promises';
import { join } from 'node:path';
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
  }
}
