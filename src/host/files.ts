/**
 * Files at the edge of the program: reading with typed errors, temporary folders that go away, and writing that
 * never leaves half a file under a final name.
 */
import { mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import tmp from 'tmp';
import { SaveoopsError } from '../errors.js';

tmp.setGracefulCleanup();

/** Reads a whole regular file. Throws `file`. */
export async function readInput(path: string, wanted: string): Promise<Uint8Array> {
  try {
    const status = await stat(path);
    if (!status.isFile()) {
      throw new SaveoopsError('file', `${path} is not a regular file`, {
        where: path,
        found: status.isDirectory() ? 'a directory' : 'a special file',
        wanted,
      });
    }
    return await readFile(path);
  } catch (error) {
    throw fileError(path, wanted, error);
  }
}

/** For a file that is renamed when it is whole. */
function temporaryName(): string {
  return `.saveoops-${process.pid}-${Math.random().toString(36).slice(2)}.tmp`;
}

/** Whether a name is one of those: what a killed run left behind, when no other runs. */
export function isTemporaryName(name: string): boolean {
  return /^\.saveoops-\d+-[0-9a-z]*\.tmp$/.test(name);
}

/**
 * Writes `chunks` to a temporary name in the folder of `path`, syncs, and renames. On any failure the temporary
 * file is removed and an older file of that name stays as it was. Throws `file`.
 */
export async function writeAtomic(path: string, chunks: readonly Uint8Array[], mode = 0o644): Promise<void> {
  const temporary = join(dirname(path), temporaryName());
  try {
    const file = await open(temporary, 'wx', mode);
    try {
      for (const chunk of chunks) await file.writeFile(chunk);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw fileError(path, 'a place that can be written', error);
  }
}

/** Makes a folder and those that it lies in, where they are missing. Throws `file`. */
export async function makeFolder(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true });
  } catch (error) {
    throw fileError(path, 'a folder to write to', error);
  }
}

/** Runs `use` with a new private folder, and removes it afterwards whatever happens. */
export async function withTemporaryFolder<T>(use: (folder: string) => Promise<T>): Promise<T> {
  const folder = tmp.dirSync({ prefix: 'saveoops-', unsafeCleanup: true });
  try {
    return await use(folder.name);
  } finally {
    folder.removeCallback();
  }
}

export function fileError(path: string, wanted: string, error: unknown): SaveoopsError {
  if (error instanceof SaveoopsError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new SaveoopsError('file', `cannot use ${path}`, {
    where: path,
    found: message,
    wanted,
    cause: error,
  });
}
