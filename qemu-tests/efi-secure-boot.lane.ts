/**
 * Secure Boot: a composed image with a signature boots armed, one without is refused. By firmware with a key in db, and by shim and
 * GRUB with a machine owner's key (MOK), as on a system that a distribution has installed.
 */
import { mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { SigningKey } from '../src/host/sign-image.js';
import { composedImage, guestPanic, limit, panickingGuest, said, vfsPanic } from './efi-lane.js';
import { captured, check, serialConsole, type RunOptions } from './harness/boot.js';
import { build } from '../src/library/build.js';
import { bootEfiFile, bootEsp } from './harness/esp.js';
import { grubConfig, grubFile, ovmf, ovmfFile, packageFile, type Release } from './harness/loaders.js';
import { startedFile, type EspFile } from './harness/make-esp.js';
import { stockKernel } from './harness/payloads.js';
import { makeKey, signFile, writeVariables, type EnrolledKeys } from './harness/secure-boot.js';

const folder = mkdtempSync(join(tmpdir(), 'svo-secure-'));
const secureCode = 'OVMF_CODE_4M.secboot.fd';
let keys: Required<EnrolledKeys>;
beforeAll(() => {
  keys = { firmware: makeKey(folder, 'firmware'), owner: makeKey(folder, 'owner') };
});
afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

/** A machine that starts nothing without a signature. */
function secureMachine(release: Release): RunOptions {
  const variables = join(folder, `${release}.fd`);
  writeVariables(ovmfFile(release, 'OVMF_VARS_4M.fd'), keys, variables);
  return ovmf(release, secureCode, variables);
}

/** The composed image as the build signs it. */
async function signedImage(
  name: string,
  { key, certificate }: SigningKey,
  crashAppend = '',
): Promise<string> {
  const out = join(folder, name);
  await build({
    kernel: stockKernel('cloud-amd64').vmlinuz,
    out,
    format: 'efi',
    crashAppend,
    signKey: key,
    signCert: certificate,
  });
  return join(out, 'saveoops.efi');
}

describe('firmware', () => {
  test(
    'starts a signed image, armed; the crash kernel is locked down, and gives no shell',
    async () => {
      const image = await signedImage('by-firmware', keys.firmware, 'saveoops.after=shell saveoops.hold=0');
      const result = await bootEfiFile(image, undefined, { ...secureMachine('bookworm'), endAt: [] });
      const log = captured(result, vfsPanic);
      check(result, () => {
        expect(log).toMatch(/Kernel is locked down from EFI Secure Boot/);
        expect(result.serial).toMatch(/elfcorehdr=\d+K lockdown=integrity/);
        expect(result.serial).toContain('saveoops: no shell on a machine that is locked down');
        expect(result.end).toMatchObject({ kind: 'exit' });
      });
    },
    limit,
  );

  test(
    'refuses one without a signature',
    async () => {
      const machine = { ...secureMachine('bookworm'), endAt: [/Access Denied/] };
      const result = await bootEfiFile(await composedImage(), undefined, machine);
      check(result, () => {
        expect(result.serial).toContain('Access Denied');
        expect(result.serial).not.toContain('Linux version');
      });
    },
    limit,
  );
});

/** GRUB of a release, and the release whose shim starts it: Debian 12 and 13 have the same. */
describe.each<[Release, Release]>([
  ['bookworm', 'trixie'],
  ['trixie', 'trixie'],
  ['sid', 'sid'],
])('GRUB of %s, started by shim of %s', (release, shimRelease) => {
  const disk = async (image: string): Promise<readonly EspFile[]> => {
    const shim = packageFile(shimRelease, 'shim-unsigned', 'usr/lib/shim/shimx64.efi');
    return [
      { path: startedFile, source: await signFile(shim, keys.firmware, folder, 'shim.efi') },
      // Only shim knows this key.
      {
        path: 'EFI/BOOT/grubx64.efi',
        source: await signFile(grubFile(release), keys.owner, folder, 'grub.efi'),
      },
      grubConfig(`linux /kernel ${serialConsole}`, 'initrd /initrd'),
      { path: 'kernel', source: image },
      { path: 'initrd', source: await panickingGuest() },
    ];
  };

  test(
    'a signed image is armed, with the initrd',
    async () => {
      const image = await signedImage('by-owner', keys.owner);
      const result = await bootEsp(await disk(image), secureMachine(release));
      const log = captured(result, guestPanic);
      check(result, () => {
        expect(log).toMatch(/secureboot: Secure boot enabled/);
        expect(log).toMatch(/Kernel is locked down from EFI Secure Boot/);
        expect(said(result)).toEqual([]);
      });
    },
    limit,
  );

  test(
    'one without a signature is refused',
    async () => {
      const refused = /bad shim signature|Access Denied|Security Violation|Security Policy Violation/;
      const result = await bootEsp(await disk(await composedImage()), {
        ...secureMachine(release),
        endAt: [refused],
      });
      check(result, () => {
        expect(result.serial).toMatch(refused);
        expect(result.serial).not.toContain('Linux version');
      });
    },
    limit,
  );
});
