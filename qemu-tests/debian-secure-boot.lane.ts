/**
 * The real test, a machine with Secure Boot: `npm run test:debian`, not part of `npm test`. Debian 13 with its signed shim and GRUB; firmware
 * has keys of the test's own, and starts shim for a second signature. The key is DKMS's, and enrolled as a person does it: mokutil, a
 * restart, MokManager's blue screen. What was typed and printed is kept in .cache/debian/grub-secure.txt: docs/distributors.md quotes it.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterAll, describe, expect, test } from '@jest/globals';
import { debianImage, partitions } from './debian/image.js';
import { apt, armed, builtPackage, crash, powerOff, settled, typed } from './debian/orders.js';
import { DebianSystem, unpack, type DebianBoot } from './debian/system.js';
import { Transcript, type Blocks } from './debian/transcript.js';
import type { SigningKey } from '../src/host/sign-image.js';
import type { Machine } from '../src/machine/machine.js';
import type { QmpClient } from '../src/machine/qmp.js';
import { host } from './harness/disks.js';
import { pressKeys } from './harness/press-keys.js';
import { ovmf, ovmfFile } from './harness/loaders.js';
import { makeKey, signFile, writeVariables } from './harness/secure-boot.js';

const minutes = 60_000;
const password = 'saveoops';
const transcript = new Transcript('grub-secure');
const folder = mkdtempSync(join(tmpdir(), 'svo-secure-'));
const variables = join(folder, 'variables.fd');

/** shim, wherever it is on the EFI system partition, gets a second signature: firmware here does not have Microsoft's keys. */
async function signShim(image: string, key: SigningKey): Promise<void> {
  const partition = `${image}@@${partitions.boot.start * 2 ** 20}`;
  for (const path of ['EFI/BOOT/BOOTX64.EFI', 'EFI/debian/shimx64.efi']) {
    const shim = join(folder, 'shim.efi');
    host('mcopy', ['-n', '-o', '-i', partition, `::/${path}`, shim]);
    host('mcopy', ['-o', '-i', partition, await signFile(shim, key, folder, 'signed.efi'), `::/${path}`]);
  }
}

/** Presses keys in MokManager, each when the screen that it is for is there: the serial port shows it, too. */
async function enroll(machine: Machine, qmp: () => Promise<QmpClient>): Promise<void> {
  const press = async (...names: readonly string[]): Promise<void> => {
    await pressKeys(await qmp(), ...names);
  };
  const shown = async (text: RegExp): Promise<void> => {
    const seen = await machine.waitForLine([text], { timeoutMs: 600_000, prompts: [text] });
    if (seen.kind === 'timeout') throw new Error(`lost: MokManager did not show ${String(text)}`);
  };
  await shown(/Press any key to perform MOK management/);
  await press('ret');
  await shown(/Enroll MOK/);
  await press('down', 'ret');
  await shown(/View key 0/);
  await press('down', 'ret');
  await shown(/Enroll the key\(s\)\?/);
  await press('down', 'ret');
  await shown(/Password:/);
  await press(...password, 'ret');
  await shown(/Reboot/);
  await press('ret');
}

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

describe('an installed Debian with GRUB under Secure Boot', () => {
  test(
    'boots the plain entry until the key is enrolled, then the armed one, and tells of its death',
    async () => {
      const keys = makeKey(folder, 'firmware');
      writeVariables(ovmfFile('trixie', 'OVMF_VARS_4M.fd'), { firmware: keys }, variables);
      const firmware = ovmf('trixie', 'OVMF_CODE_4M.secboot.fd', variables, true);
      const system = new DebianSystem(await debianImage('grub-secure'), 'grub-secure');
      const boot = async (
        orders: readonly string[],
        wanted: readonly string[],
        more: DebianBoot = {},
      ): Promise<Blocks> => await transcript.boot(system, orders, wanted, { firmware, ...more });
      try {
        await signShim(system.image, keys);
        const deb = builtPackage();
        const arming = await boot(
          [
            ...[unpack, typed('before', 'mokutil --sb-state', 'mokutil --list-enrolled --short')],
            typed('install', `${apt} install ./${basename(deb)}`),
            typed('key', 'dkms generate_mok'),
            typed(
              'arm',
              "echo 'save: boot' >>/etc/saveoops.yaml",
              'saveoops update --enable grub',
              'saveoops status',
            ),
            // mokutil asks twice.
            typed('import', `printf '${password}\\n${password}\\n' | mokutil --import /var/lib/dkms/mok.pub`),
            powerOff,
          ],
          ['before', 'install', 'key', 'arm', 'import'],
          { extra: system.bring([deb]) },
        );
        expect(arming['before']).toContain('SecureBoot enabled');
        expect(arming['arm']?.join('\n')).toMatch(/the key of \/var\/lib\/dkms\/mok\.pub is not enrolled/);
        system.quietLogin();

        const enrolling = await boot([], [], { meanwhile: enroll });
        expect(enrolling['reasons']).toEqual(['guest-reset']);

        const enrolled = await boot(
          [
            settled,
            armed(),
            typed('enrolled', 'mokutil --list-enrolled --short', 'saveoops status'),
            powerOff,
          ],
          ['armed', 'enrolled'],
        );
        // The plain entry still: saveoops-waiting.service offers the other in this boot.
        expect(enrolled['armed']).toEqual([]);

        const dies = await boot(
          [settled, armed(), typed('locked', 'cat /sys/kernel/security/lockdown', 'saveoops status'), crash],
          ['armed', 'locked'],
        );
        expect([dies['armed'], dies['reasons']]).toEqual([['0'], ['guest-reset']]);
        expect(dies['locked']).toContain('none [integrity] confidentiality');

        const asked = await boot(
          [armed(), typed('report', 'saveoops report last'), powerOff],
          ['armed', 'report'],
        );
        expect(asked['armed']).toEqual(['0']);
        expect(asked['report']?.join('\n')).toContain('Kernel panic - not syncing: sysrq triggered crash');
      } finally {
        system.remove();
      }
    },
    240 * minutes,
  );
});
