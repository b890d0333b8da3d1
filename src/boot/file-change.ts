/** Files of a boot loader as they are to be: said first, so that a dry run can tell them, and then made so one by one. */
import { readFile, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { fileError, writeAtomic } from '../host/files.js';
import { exists } from '../host/presence.js';
import { syncFolder } from './payload-store.js';

export interface FileChange {
  readonly path: string;
  /** What it is to hold, latin1, so that whatever bytes it holds are compared; undefined: it is not to be there. */
  readonly text: string | undefined;
}

/** Those that the files do not say already, in their order. */
export async function pending(changes: readonly FileChange[]): Promise<readonly FileChange[]> {
  const found: FileChange[] = [];
  for (const change of changes) if (await differs(change)) found.push(change);
  return found;
}

/** Makes each so that is not, and sees it onto the disk before the next. Throws `file`. */
export async function makeChanges(changes: readonly FileChange[]): Promise<void> {
  for (const change of changes) {
    if (!(await differs(change))) continue;
    const { path, text } = change;
    if (text === undefined) await remove(path);
    else await writeAtomic(path, [Buffer.from(text, 'latin1')]);
    await syncFolder(dirname(path));
  }
}

async function differs({ path, text }: FileChange): Promise<boolean> {
  if (text === undefined) return await exists(path);
  return (await readFile(path, 'latin1').catch(() => undefined)) !== text;
}

async function remove(path: string): Promise<void> {
  try {
    await rm(path, { force: true });
  } catch (error) {
    throw fileError(path, 'a file that can be removed', error);
  }
}
