import { rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { SaveoopsError } from '../errors.js';
import { fileError } from '../host/files.js';

/**
 * Lets `make` write a temporary name in the folder of `out`, then renames it to `out`. A failure removes the
 * temporary file and leaves an older `out` as it was. Throws `file` when the folder is missing or not writable.
 */
export async function renameWhenDone<T>(out: string, make: (temporary: string) => Promise<T>): Promise<T> {
  await requireFolder(dirname(out), out);
  // mtools ends an image's name at "@@", so the temporary name is ours alone, and short.
  const temporary = join(dirname(out), `.saveoops-${process.pid}-${Math.random().toString(36).slice(2)}.tmp`);
  try {
    const made = await make(temporary);
    await rename(temporary, out);
    return made;
  } catch (error) {
    throw error instanceof SaveoopsError
      ? error
      : fileError(join(dirname(out), basename(out)), 'a place that can be written', error);
  } finally {
    await rm(temporary, { force: true });
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
