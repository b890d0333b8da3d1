/** What the files of the lane efi share. */
import { join } from 'node:path';
import type { ScenarioResult } from '../src/machine/scenario.js';
import { serialLines } from '../src/machine/serial-text.js';
import { buildPayloadFolder } from './harness/build.js';
import { cache, makeOnce } from './harness/folders.js';
import { guestInitramfs } from './harness/guest.js';
import { stockKernel, toolDigest } from './harness/payloads.js';

/** Milliseconds for a test of one machine. */
export const limit = 300_000;
/** The panic of a machine that is given no initrd, and that of panickingGuest(). */
export const vfsPanic = 'Kernel panic - not syncing: VFS: Unable to mount root fs';
export const guestPanic = 'Kernel panic - not syncing: sysrq triggered crash';

/** Where firmware looks for what to start on a disk. */
export const startedFile = 'EFI/BOOT/BOOTX64.EFI';

/** saveoops.efi of the cloud kernel, without a signature. */
export async function composedImage(): Promise<string> {
  const name = `efi-lane-${toolDigest()}`;
  const folder = await makeOnce(join(cache, 'payloads', name), async (out) => {
    await buildPayloadFolder({ kernel: stockKernel('cloud-amd64').vmlinuz, out, format: 'efi' });
  });
  return join(folder, 'saveoops.efi');
}

/** Panics once userspace has found the initrd. */
export async function panickingGuest(): Promise<string> {
  return await guestInitramfs('echo c >/proc/sysrq-trigger\n');
}

/** Lines with a number that entry stub or module print; firmware's console may have put something in front. */
export function said({ serial }: ScenarioResult): readonly string[] {
  return serialLines(serial).flatMap((line) => /saveoops: E\d\d .*$/.exec(line)?.[0] ?? []);
}
