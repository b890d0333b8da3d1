/** Files at the edge of the program: reading with typed errors, and writing that never leaves half a file under a final name. */
import { constants } from 'node:fs';
import { lstat, mkdir, open, rename, stat, type FileHandle } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { SaveoopsError } from '../errors.js';
import { abortSignal } from './task.js';
import { withTemporaryNames } from './temporary-files.js';

export { isTemporaryName, withTemporaryFolder } from './temporary-files.js';

/** Reads a whole regular file. Throws `file`, for one that another program is writing, too. */
export async function readInput(path: string, wanted: string): Promise<Uint8Array> {
  abortSignal()?.throwIfAborted();
  try {
    // Without O_NONBLOCK a named pipe would keep us here.
    const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const before = await file.stat({ bigint: true });
      if (!before.isFile()) {
        throw new SaveoopsError('file', `${path} is not a regular file`, {
          where: path,
          found: before.isDirectory() ? 'a directory' : 'a special file',
          wanted,
        });
      }
      const bytes = await readWhole(file, Number(before.size));
      const after = await file.stat({ bigint: true });
      if (after.mtimeNs !== before.mtimeNs || after.size !== before.size) throw changed(path, wanted);
      return bytes;
    } finally {
      await file.close();
    }
  } catch (error) {
    throw fileError(path, wanted, error);
  }
}

/** One call of the system for each is enough: FileHandle's readFile() and writeFile() make one for each 512 KiB. */
const mostAtOnce = 1 << 30;

/** What there is of a file of `size` bytes, as it was a moment ago; all of one that has no size (/proc). */
async function readWhole(file: FileHandle, size: number): Promise<Uint8Array> {
  if (size === 0) return await file.readFile();
  const bytes = Buffer.allocUnsafeSlow(size);
  for (let done = 0; done < size;) {
    const { bytesRead } = await file.read(bytes, done, Math.min(size - done, mostAtOnce), null);
    if (bytesRead === 0) return bytes.subarray(0, done);
    done += bytesRead;
  }
  return bytes;
}

async function writeWhole(file: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    const { bytesWritten } = await file.write(bytes, done, Math.min(bytes.length - done, mostAtOnce), null);
    done += bytesWritten;
  }
}

/** Bytes read before and after a change belong to no file that ever was. */
export function changed(path: string, wanted: string): SaveoopsError {
  return new SaveoopsError('file', `${path} was changed while it was read`, {
    where: path,
    found: 'another size or time of change than when reading began',
    wanted,
    hint: 'wait until the program that writes it has ended (update-initramfs?), and start again',
  });
}

/**
 * Permissions of a file that holds what files at `paths` hold: who could not read one of them cannot read it either (an
 * initramfs may hold keys). Throws `file`.
 */
export async function permissionsOf(paths: readonly string[]): Promise<number> {
  const all = await Promise.all(
    paths.map((path) =>
      stat(path).catch((error: unknown) => {
        throw fileError(path, 'a file that can be read', error);
      }),
    ),
  );
  return all.reduce((sum, { mode }) => sum & mode, 0o644);
}

/** A file to write: its name in its folder, and its bytes in pieces. */
export interface NewFile {
  readonly name: string;
  readonly chunks: readonly Uint8Array[];
  /** Permissions; default 0644. */
  readonly mode?: number;
}

/**
 * Writes all files under temporary names, sees them onto the disk, and only then renames them, in their order. On a full
 * disk or another failure older files of these names stay as they were. Throws `file`, also when another run has written the
 * same files meanwhile: then they may be some of one, some of the other.
 */
export async function writeTogether(folder: string, files: readonly NewFile[]): Promise<void> {
  const path = ({ name }: NewFile): string => join(folder, name);
  const wanted = 'a place that can be written';
  let current = folder;
  try {
    for (const file of files) {
      current = path(file);
      // rename() would refuse it when others have been renamed already.
      if ((await lstat(current).catch(() => undefined))?.isDirectory())
        throw new Error('a directory of that name');
    }
    await withTemporaryNames(folder, files.length, async (temporary) => {
      const inodes = await allOf(
        files.map(async (file, index) => {
          try {
            return await writeNewFile(temporary[index] ?? '', file);
          } catch (error) {
            throw fileError(path(file), wanted, error);
          }
        }),
      );
      // From here on it is done to the end.
      abortSignal()?.throwIfAborted();
      for (const [index, file] of files.entries()) {
        current = path(file);
        await rename(temporary[index] ?? '', current);
      }
      if (files.length > 1) await requireOwn(folder, files, inodes);
    });
  } catch (error) {
    throw fileError(current, wanted, error);
  }
}

/** All results; the first failure once none is at work any more, so that what they have made can be removed. */
async function allOf<T>(runs: readonly Promise<T>[]): Promise<readonly T[]> {
  await Promise.allSettled(runs);
  return await Promise.all(runs);
}

/** Writes a file that is not there yet and sees it onto the disk. Gives its inode. */
export async function writeNewFile(
  path: string,
  { chunks, mode = 0o644 }: Omit<NewFile, 'name'>,
): Promise<bigint> {
  const file = await open(path, 'wx', mode);
  try {
    for (const chunk of chunks) await writeWhole(file, chunk);
    await file.sync();
    return (await file.stat({ bigint: true })).ino;
  } finally {
    await file.close();
  }
}

/** Of two runs at once the one that renames last finds whatever the other has put between its own files. */
async function requireOwn(
  folder: string,
  files: readonly NewFile[],
  inodes: readonly bigint[],
): Promise<void> {
  for (const [index, { name }] of files.entries()) {
    if ((await stat(join(folder, name), { bigint: true })).ino === inodes[index]) continue;
    throw new SaveoopsError('file', 'another run has written to the same folder', {
      where: join(folder, name),
      found: 'a file of another run',
      wanted: 'one run at a time for each folder',
      hint: 'start again: the files in the folder may not belong together',
    });
  }
}

/** As writeTogether, for one file. Throws `file`. */
export async function writeAtomic(path: string, chunks: readonly Uint8Array[], mode = 0o644): Promise<void> {
  await writeTogether(dirname(path), [{ name: basename(path), chunks, mode }]);
}

/**
 * Makes a folder and those that it lies in, where they are missing. Throws `file`. Node's recursive mkdir() is not used, and
 * eslint refuses it: where mkdir() answers ENOENT in a folder that exists, as in /proc, it tries again for ever.
 */
export async function makeFolder(path: string, wanted = 'a folder to write to'): Promise<void> {
  try {
    const missing: string[] = [];
    let at = resolve(path);
    for (; !(await exists(at)); at = dirname(at)) missing.unshift(at);
    for (const folder of missing.length === 0 ? [at] : missing) {
      await mkdir(folder).catch(async (error: unknown) => {
        // Another run may have made it meanwhile.
        if (!(await stat(folder).catch(() => undefined))?.isDirectory()) throw error;
      });
    }
  } catch (error) {
    throw fileError(path, wanted, error);
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
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
