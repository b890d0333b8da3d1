/** A small file system for a test, in a namespace of its own: no root rights. It is gone when the script ends. */
import { spawnSync } from 'node:child_process';
import type { CommandResult } from './command-line.js';

const namespace = ['--user', '--map-root-user', '--mount', 'sh', '-c'];

/** Whether user namespaces may mount here. */
export function canMountDisks(): boolean {
  return spawnSync('unshare', [...namespace, 'mount -t tmpfs none /mnt']).status === 0;
}

/**
 * Runs a shell script that ends at the first failure, with a file system of its own at $0.
 * @param disk an empty folder
 * @param bytes size of the file system
 * @param args $1 and so on
 */
export function onSmallDisk(
  disk: string,
  bytes: number,
  script: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv = process.env,
): CommandResult {
  const mounted = `set -e; mount -t tmpfs -o size=${Math.round(bytes)} none "$0"; ${script}`;
  const { status, stdout, stderr } = spawnSync('unshare', [...namespace, mounted, disk, ...args], {
    encoding: 'utf8',
    env,
  });
  return { status, stdout, stderr };
}
