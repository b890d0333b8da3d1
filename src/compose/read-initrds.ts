/** The primary's initramfs files, read and digested, under the names that they get beside the payload. */
import { readInput } from '../host/files.js';
import { digestInitrd, type Initrd } from '../payload/com32-file.js';
import { namesBeside } from './payload-files.js';

/** @param kernelNames that are taken. Throws `file`. */
export async function readInitrds(
  paths: readonly string[],
  kernelNames: readonly string[],
): Promise<Initrd[]> {
  const names = namesBeside(paths, kernelNames);
  return await Promise.all(
    paths.map(async (path, index) => digestInitrd(names[index] ?? '', await readInput(path, 'an initramfs'))),
  );
}
