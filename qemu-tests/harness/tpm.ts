/** A TPM 2.0 for a machine: swtpm, in a process of its own. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Runs `use` with the QEMU options of a machine that has a new TPM; for one run of QEMU. */
export async function withTpm<T>(use: (options: readonly string[]) => Promise<T>): Promise<T> {
  // Unix sockets have short names only.
  const folder = mkdtempSync(join(tmpdir(), 'svo-tpm-'));
  const socket = join(folder, 'control');
  const tpm = spawn(
    'swtpm',
    [
      'socket',
      '--tpm2',
      '--tpmstate',
      `dir=${folder}`,
      '--ctrl',
      `type=unixio,path=${socket}`,
      '--terminate',
      '--daemon',
    ],
    { stdio: ['ignore', 'ignore', 'inherit'] },
  );
  try {
    // As a daemon it returns once it listens, and it ends when QEMU closes the connection.
    const [status] = (await once(tpm, 'exit')) as [number | null];
    if (status !== 0) throw new Error(`swtpm ended with status ${String(status)}`);
    return await use([
      ...['-chardev', `socket,id=tpm,path=${socket}`],
      ...['-tpmdev', 'emulator,id=tpm,chardev=tpm', '-device', 'tpm-crb,tpmdev=tpm'],
    ]);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
