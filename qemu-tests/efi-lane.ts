/** What the tests of UEFI share: efi.test.ts and the files of the lane efi. */
import { join } from 'node:path';
import { expect } from '@jest/globals';
import type { ScenarioResult } from '../src/machine/scenario.js';
import { serialLines } from '../src/machine/serial-text.js';
import { check, serialConsole, type RunOptions } from './harness/boot.js';
import { build, type BuildRequest } from '../src/library/build.js';
import { bootEfiFile } from './harness/esp.js';
import { cache, digestOf, makeOnce } from './harness/folders.js';
import { guestInitramfs } from './harness/guest.js';
import { stockKernel, toolDigest, type Flavour } from './harness/payloads.js';

/** Milliseconds for a test of one machine. */
export const limit = 300_000;
/** The panic of a machine that is given no initrd, and that of panickingGuest(). */
export const vfsPanic = 'Kernel panic - not syncing: VFS: Unable to mount root fs';
export const guestPanic = 'Kernel panic - not syncing: sysrq triggered crash';
/** The kernel's last word with panic=-1, when nobody captures. */
const rebooting = [/Rebooting in|reboot: machine restart/];

/** Path of saveoops.efi, built once for the same options; without a signature. */
export async function composedImage(
  options: Omit<BuildRequest, 'kernel' | 'out'> = {},
  flavour: Flavour = 'cloud-amd64',
): Promise<string> {
  const name = `efi-file-${digestOf(JSON.stringify(options), flavour, toolDigest())}`;
  const folder = await makeOnce(join(cache, 'payloads', name), async (out) => {
    await build({ ...options, kernel: stockKernel(flavour).vmlinuz, out, format: 'efi' });
  });
  return join(folder, 'saveoops.efi');
}

/** For composedImage(): it saves captures on the partition that it was started from. */
export const saving = { save: 'boot', crashAppend: 'saveoops.hold=0 saveoops.print=all' } as const;

/** Panics once userspace has found the initrd. */
export async function panickingGuest(): Promise<string> {
  return await guestInitramfs('echo c >/proc/sysrq-trigger\n');
}

/** Lines with a number that entry stub or module print; firmware's console may have put something in front. */
export function said({ serial }: ScenarioResult): readonly string[] {
  return serialLines(serial).flatMap((line) => /saveoops: E\d\d .*$/.exec(line)?.[0] ?? []);
}

/** Firmware's shell starts the image, which says `message`, and its plain kernel runs until it panics. @param words added to its command line */
export async function bootUnarmed(
  image: string,
  message: string,
  words = '',
  options: RunOptions = {},
): Promise<ScenarioResult> {
  const line = `${serialConsole} panic=-1 ${words}`.trimEnd();
  const result = await bootEfiFile(image, line, { endAt: rebooting, ...options });
  check(result, () => {
    expect(said(result)).toEqual([message]);
    expect(result.serial).toContain(vfsPanic);
  });
  return result;
}
