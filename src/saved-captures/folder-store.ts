/** Captures in a directory of this system. */
import { constants } from 'node:fs';
import { lstat, open, readdir, stat } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { fileError } from '../host/files.js';
import { parseCaptureName } from './capture-name.js';
import type { FilePart, StoredCapture } from './stored-capture.js';

/** All captures in `folder`, in no order. Throws `file`. */
export async function capturesInFolder(folder: string): Promise<readonly StoredCapture[]> {
  const names = await list(folder);
  const found = await Promise.all(
    names
      .filter((name) => parseCaptureName(name) !== undefined)
      .map((name) => readCapture(join(folder, name))),
  );
  return found.filter((capture) => capture !== undefined);
}

/** The capture that `path` itself is, whatever its name, through links too; undefined: no directory. Throws `file`. */
export async function captureAt(path: string): Promise<StoredCapture | undefined> {
  return await readCapture(path, stat);
}

async function readCapture(path: string, look: typeof stat = lstat): Promise<StoredCapture | undefined> {
  const status = await look(path).catch((error: unknown) => {
    throw fileError(path, 'a capture', error);
  });
  if (!status.isDirectory()) return undefined;
  const files = await Promise.all(
    (await list(path)).sort().map(async (name) => {
      const file = await lstat(join(path, name)).catch(() => undefined);
      return file?.isFile() === true ? [{ name, size: file.size }] : [];
    }),
  );
  const name = basename(resolve(path));
  const named = parseCaptureName(name) ?? {
    name,
    time: status.mtime.toISOString(),
    release: 'unknown',
    id: '',
    incomplete: name.endsWith('.incomplete'),
  };
  return {
    ...named,
    where: path,
    files: files.flat(),
    read: (file, limit) => readEnd(join(path, file), limit),
    copyCommand: undefined,
  };
}

/** undefined: no such file. A symbolic link is none: whoever may write there could point it anywhere. */
export async function readEnd(path: string, limit: number): Promise<FilePart | undefined> {
  let file;
  try {
    // Without O_NONBLOCK a named pipe would keep us here.
    file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw fileError(path, 'a regular file', error);
  }
  try {
    const status = await file.stat();
    if (!status.isFile()) throw new Error('not a regular file');
    const size = Math.min(limit, status.size);
    const bytes = Buffer.alloc(size);
    const { bytesRead } = await file.read(bytes, 0, size, status.size - size);
    return { bytes: bytes.subarray(0, bytesRead), cut: status.size > size };
  } catch (error) {
    throw fileError(path, 'a regular file', error);
  } finally {
    await file.close();
  }
}

async function list(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    throw fileError(folder, 'a directory with captures', error);
  }
}
