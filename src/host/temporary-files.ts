/**
 * Names for files that are renamed when they are whole, and folders that go away. Both go when this process ends, by a
 * signal too; what SIGKILL or a power cut leaves behind goes with the next run that writes to the same place.
 */
import { rmSync } from 'node:fs';
import { lstat, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import tmp from 'tmp';
import { SaveoopsError } from '../errors.js';

tmp.setGracefulCleanup();

/** What this process has still to remove. */
const pending = new Set<string>();
process.on('exit', () => {
  for (const path of pending) rmSync(path, { force: true });
});

const fileName = /^\.saveoops-(\d+)-[0-9a-z]*\.tmp$/;
/** As `tmp` makes them of the prefix "saveoops-". */
const folderName = /^saveoops--(\d+)-\w+$/;

/** Whether a name is one of those: what a killed run left behind, when no other runs. */
export function isTemporaryName(name: string): boolean {
  return fileName.test(name);
}

/**
 * Lets `use` write files of these names in `folder`. Those that it has not renamed are removed afterwards, as are those of
 * runs that were killed.
 */
export async function withTemporaryNames<T>(
  folder: string,
  count: number,
  use: (paths: readonly string[]) => Promise<T>,
): Promise<T> {
  await removeAbandoned(folder, fileName);
  const paths = Array.from({ length: count }, () =>
    join(folder, `.saveoops-${process.pid}-${Math.random().toString(36).slice(2)}.tmp`),
  );
  for (const path of paths) pending.add(path);
  try {
    return await use(paths);
  } finally {
    for (const path of paths) {
      await rm(path, { force: true });
      pending.delete(path);
    }
  }
}

/** Runs `use` with a new private folder, and removes it afterwards whatever happens. Throws `file` where there is none. */
export async function withTemporaryFolder<T>(use: (folder: string) => Promise<T>): Promise<T> {
  await removeAbandoned(tmpdir(), folderName);
  const folder = makeFolder();
  try {
    return await use(folder.name);
  } finally {
    folder.removeCallback();
  }
}

function makeFolder(): tmp.DirResult {
  try {
    return tmp.dirSync({ prefix: 'saveoops-', unsafeCleanup: true });
  } catch (error) {
    throw new SaveoopsError('file', 'no place for temporary files', {
      where: tmpdir(),
      found: error instanceof Error ? error.message : String(error),
      wanted: 'a folder that can be written',
      hint: 'give another folder in the environment variable TMPDIR',
      cause: error,
    });
  }
}

/**
 * Only what this user owns: in a folder that others write to, a folder of theirs could become a link to somewhere else
 * while it is being emptied.
 */
async function removeAbandoned(folder: string, pattern: RegExp): Promise<void> {
  for (const name of await readdir(folder).catch(() => [])) {
    const pid = Number(pattern.exec(name)?.[1] ?? process.pid);
    if (pid === process.pid || isRunning(pid)) continue;
    const path = join(folder, name);
    const owner = await lstat(path).catch(() => undefined);
    if (owner?.uid === process.getuid?.())
      await rm(path, { recursive: true, force: true }).catch(() => undefined);
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}
