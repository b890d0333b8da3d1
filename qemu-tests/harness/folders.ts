/** Where tests keep what they make: folders under .cache, which is not part of the repository. */
import { createHash, randomBytes } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdir, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** This file is compiled to dist/qemu-tests/harness/. */
export const repository = fileURLToPath(new URL('../../../', import.meta.url));
export const cache = join(repository, '.cache');

/**
 * Makes `path` once: `make` fills a temporary name, which is then renamed. Of two workers that make the same thing
 * at the same time one wins, and both use its work.
 */
export async function makeOnce(path: string, make: (temporary: string) => Promise<void>): Promise<string> {
  if (existsSync(path)) return path;
  await mkdir(dirname(path), { recursive: true });
  const temporary = `${path}.${process.pid}-${randomBytes(4).toString('hex')}.part`;
  try {
    await make(temporary);
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    if (!existsSync(path)) throw error;
  }
  return path;
}

/** A short digest of byte strings, for names in the cache. */
export function digestOf(...parts: readonly (string | Uint8Array)[]): string {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(`${part.length}\0`).update(part);
  return hash.digest('hex').slice(0, 16);
}

/** One digest over all files below `folder` whose name passes. */
export function digestOfFolder(folder: string, wanted: (name: string) => boolean): string {
  const names = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && wanted(entry.name))
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
  return digestOf(...names.flatMap((name) => [name, readFileSync(name)]));
}
