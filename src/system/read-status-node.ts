/** The status node of the running system, where its kernel shows it. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileError } from '../host/files.js';
import { parseStatusNode, statusNodeType, type StatusNode } from './status-node.js';

/**
 * undefined: there is no such node. Throws `file` when the kernel shows no boot_params, `truncated`, `unsupported`.
 * @param root where sys/ is
 */
export async function readStatusNode(root: string): Promise<StatusNode | undefined> {
  const bootParams = join(root, 'sys/kernel/boot_params');
  await list(bootParams);
  const folder = join(bootParams, 'setup_data');
  // A kernel that got no setup_data at all has no such folder.
  for (const name of await list(folder).catch(() => [])) {
    const type = Number(await read(join(folder, name, 'type')));
    if (type !== statusNodeType) continue;
    const path = join(folder, name, 'data');
    return parseStatusNode(await read(path), path);
  }
  return undefined;
}

async function list(path: string): Promise<string[]> {
  try {
    return (await readdir(path)).sort();
  } catch (error) {
    throw fileError(path, 'what a running x86 kernel shows of its boot_params', error);
  }
}

async function read(path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (error) {
    throw fileError(path, 'a file of sysfs', error);
  }
}
