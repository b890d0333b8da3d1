/** A lock that goes away with its holder, however that ends: util-linux's flock, held by a child that reads our pipe. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { SaveoopsError } from '../errors.js';

/** How long another holder is waited for: a build takes seconds, on slow machines a minute. */
const patience = 600;

/**
 * Runs `use` while no other process holds the lock on `folder`. When this process is killed the kernel closes the
 * pipe, `cat` ends, and the lock with it. Throws `tool` when the lock was not free in time, or there is no flock.
 */
export async function withLock<T>(folder: string, use: () => Promise<T>): Promise<T> {
  // -o: only flock holds the lock, not what it runs.
  const args = ['--exclusive', '--timeout', String(patience), '-o', folder, '-c', 'echo locked; exec cat'];
  const holder = spawn('flock', args, { stdio: ['pipe', 'pipe', 'ignore'] });
  const ended = new Promise<string>((resolve) => {
    holder.once('error', (error) => {
      resolve(error.message);
    });
    holder.once('exit', (code) => {
      resolve(`flock ended with status ${code ?? '?'}`);
    });
  });
  const refused = await Promise.race([once(holder.stdout, 'data').then(() => undefined), ended]);
  if (refused !== undefined) {
    throw new SaveoopsError('tool', 'another run of saveoops update has not ended', {
      where: folder,
      found: refused,
      wanted: `the lock on this folder within ${patience} seconds`,
      hint: 'look for a saveoops process that hangs; flock is in util-linux',
    });
  }
  try {
    return await use();
  } finally {
    holder.stdin.end();
    await ended;
  }
}
