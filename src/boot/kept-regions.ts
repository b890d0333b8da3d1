/**
 * The file after-reset.bin in the store of payloads: what the COM32 module of the default entry knows of the other kernels of the
 * menu. It tells of each payload that is kept, offered or not: the system that runs may have come from V.old.
 */
import { open, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { sha256Hex } from '../bytes/digests.js';
import { payloadFile } from '../compose/payload-files.js';
import { readManifest } from '../image/payload-folder.js';
import { payloadLoadTable } from '../payload/com32-file.js';
import { keptList, keptRegionOf } from '../payload/kept-list.js';
import type { FileChange } from './file-change.js';
import { settingsFile } from './payload-store.js';

/** Beside the payload folders: the module takes the path of its own file, without that file's name and folder (stubs/com32/kept-list.c). */
export const keptListFile = 'after-reset.bin';

/** The head of a payload is some 50 KiB. */
const longestHead = 1 << 20;

/** The list as it is to be; none where no payload captures after a reset. Throws nothing for a payload that cannot be read: it is left out. */
export async function keptListChange(store: string): Promise<FileChange> {
  const names = (await readdir(store).catch(() => [])).filter((name) => !name.endsWith('.new'));
  // Newest kernels first, should there ever be more than it holds; the same order each time.
  names.sort((a, b) => b.localeCompare(a, 'en', { numeric: true }));
  const regions: Uint8Array[] = [];
  for (const name of names) {
    const region = await regionOf(join(store, name)).catch(() => undefined);
    if (region !== undefined) regions.push(region);
  }
  const text = regions.length === 0 ? undefined : Buffer.from(keptList(regions)).toString('latin1');
  return { path: join(store, keptListFile), text };
}

async function regionOf(folder: string): Promise<Uint8Array | undefined> {
  await stat(join(folder, settingsFile));
  const { afterReset, regions } = await readManifest(folder);
  const head = regions.find(({ name }) => name === 'module');
  if (!afterReset || head === undefined || head.size > longestHead) return undefined;
  const path = join(folder, payloadFile);
  const file = await open(path);
  try {
    const { bytesRead, buffer } = await file.read(Buffer.alloc(head.size), 0, head.size, 0);
    if (bytesRead !== head.size || sha256Hex(buffer) !== head.sha256) return undefined;
    return keptRegionOf(payloadLoadTable(buffer, path));
  } finally {
    await file.close();
  }
}
