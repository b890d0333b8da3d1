/** Disks with files that firmware starts, as any EFI application: for the composed image without a boot loader. */
import { rm } from 'node:fs/promises';
import { withTemporaryFolder } from '../../src/host/files.js';
import type { ScenarioResult } from '../../src/machine/scenario.js';
import { join } from 'node:path';
import { bootFrom, type RunOptions } from './boot.js';
import { makeEsp, startedFile, type EspFile } from './make-esp.js';

/** Boots such a disk. */
export async function bootEsp(files: readonly EspFile[], options: RunOptions = {}): Promise<ScenarioResult> {
  return await withTemporaryFolder(async (folder) => {
    const image = join(folder, 'esp.img');
    await makeEsp(image, files);
    try {
      return await bootFrom({ kind: 'disk', image }, { firmware: 'uefi', ...options });
    } finally {
      await rm(image, { force: true });
    }
  });
}

/** By the firmware's shell, which gives the file a command line. Without one: by the name that firmware looks for. */
export async function bootEfiFile(
  file: string,
  cmdline: string | undefined,
  options: RunOptions = {},
): Promise<ScenarioResult> {
  return await bootEsp(
    cmdline === undefined
      ? [{ path: startedFile, source: file }]
      : [
          { path: 'kernel.efi', source: file },
          { path: 'startup.nsh', source: { text: `fs0:\r\nkernel.efi ${cmdline}\r\n` } },
        ],
    options,
  );
}
