import { open, rename, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { SaveoopsError } from '../errors.js';
import { fileError } from '../host/files.js';
import { abortSignal } from '../host/task.js';
import { withTemporaryNames } from '../host/temporary-files.js';

/**
 * Lets `make` write an absolute temporary name in the folder of `out`, then renames it to `out`. A failure removes the
 * temporary file and leaves an older `out` as it was.
 * @param mode permissions, from the start
 * Throws `file` when the folder is missing or not writable.
 */
export async function renameWhenDone<T>(
  out: string,
  mode: number,
  make: (temporary: string) => Promise<T>,
): Promise<T> {
  const folder = dirname(resolve(out));
  await requireFolder(folder, out);
  try {
    return await withTemporaryNames(folder, 1, async ([temporary = '']) => {
      await (await open(temporary, 'wx', mode)).close();
      const made = await make(temporary);
      await toDisk(temporary);
      abortSignal()?.throwIfAborted();
      await rename(temporary, out);
      return made;
    });
  } catch (error) {
    throw fileError(out, 'a place that can be written', error);
  }
}

/** Else a power cut after the rename could leave half of it under its final name. */
async function toDisk(path: string): Promise<void> {
  const file = await open(path);
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

async function requireFolder(folder: string, out: string): Promise<void> {
  let found = 'a file of that name';
  try {
    if ((await stat(folder)).isDirectory()) return;
  } catch (error) {
    found = error instanceof Error ? error.message : String(error);
  }
  throw new SaveoopsError('file', `cannot write ${out}`, {
    where: folder,
    found,
    wanted: 'an existing folder',
    hint: `mkdir -p ${folder}`,
  });
}
