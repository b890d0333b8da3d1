/**
 * What making and booting media needs from the host, checked before any work, so that a person gets one line
 * naming every missing Debian package, not one failure after another.
 */
import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { SaveoopsError } from '../errors.js';

/** A program on PATH or a file that a Debian package installs. */
export interface Requirement {
  /** Name of the Debian package. */
  readonly package: string;
  readonly program?: string;
  readonly file?: string;
  /** Of a program that need not be on PATH: where it is looked for. */
  readonly places?: readonly string[];
}

/** Debian's Syslinux files, by absolute path; these places have not moved since Debian 8. */
export const syslinuxFiles = {
  mbr: '/usr/lib/syslinux/mbr/mbr.bin',
  isolinux: '/usr/lib/ISOLINUX/isolinux.bin',
  isohybridMbr: '/usr/lib/ISOLINUX/isohdpfx.bin',
  ldlinux: '/usr/lib/syslinux/modules/bios/ldlinux.c32',
  efi: '/usr/lib/SYSLINUX.EFI/efi64/syslinux.efi',
  ldlinuxEfi: '/usr/lib/syslinux/modules/efi64/ldlinux.e64',
} as const;

/** For a FAT file system in an image. */
export const mtoolsNeeds: readonly Requirement[] = [
  { package: 'mtools', program: 'mformat' },
  { package: 'mtools', program: 'mmd' },
  { package: 'mtools', program: 'mcopy' },
];

export const diskImageNeeds: readonly Requirement[] = [
  ...mtoolsNeeds,
  { package: 'syslinux', program: 'syslinux' },
  { package: 'syslinux-common', file: syslinuxFiles.mbr },
];

/** For a medium that UEFI boots, too. */
export const efiNeeds: readonly Requirement[] = [
  { package: 'syslinux-efi', file: syslinuxFiles.efi },
  { package: 'syslinux-common', file: syslinuxFiles.ldlinuxEfi },
  ...mtoolsNeeds,
];

export const isoImageNeeds: readonly Requirement[] = [
  { package: 'xorriso', program: 'xorriso' },
  { package: 'isolinux', file: syslinuxFiles.isolinux },
  { package: 'isolinux', file: syslinuxFiles.isohybridMbr },
  { package: 'syslinux-common', file: syslinuxFiles.ldlinux },
];

/** `setpriv` ends QEMU with its parent; it is in util-linux, which every Debian has. */
export const machineNeeds: readonly Requirement[] = [
  { package: 'qemu-system-x86', program: 'qemu-system-x86_64' },
  { package: 'util-linux', program: 'setpriv' },
];

/** OVMF of the Debian package ovmf: code, and an empty store of variables. */
export const ovmfFiles = {
  code: '/usr/share/OVMF/OVMF_CODE_4M.fd',
  variables: '/usr/share/OVMF/OVMF_VARS_4M.fd',
} as const;

/** A machine with UEFI. */
export const uefiMachineNeeds: readonly Requirement[] = Object.values(ovmfFiles).map((file) => ({
  package: 'ovmf',
  file,
}));

/** Those of `needs` that this machine has not. */
export async function missingOnHost(
  needs: readonly Requirement[],
  path: string = process.env['PATH'] ?? '',
): Promise<readonly Requirement[]> {
  const missing: Requirement[] = [];
  for (const need of needs) {
    const candidates =
      need.file !== undefined
        ? [need.file]
        : (need.places ?? path.split(delimiter).map((folder) => join(folder, need.program ?? '')));
    const mode = need.file !== undefined ? constants.R_OK : constants.X_OK;
    if (!(await anyAccessible(candidates, mode))) missing.push(need);
  }
  return missing;
}

/** The line that installs all of it. */
export function installLine(missing: readonly Requirement[]): string {
  return `apt-get install ${packagesOf(missing).join(' ')}`;
}

function packagesOf(missing: readonly Requirement[]): readonly string[] {
  return [...new Set(missing.map((need) => need.package))];
}

/** Throws `tool` naming what is missing and the apt line that installs all of it. */
export async function requireOnHost(needs: readonly Requirement[], path?: string): Promise<void> {
  const missing = await missingOnHost(needs, path);
  if (missing.length === 0) return;
  const names = missing.map((need) => need.file ?? need.program ?? '');
  const packages = packagesOf(missing);
  throw new SaveoopsError('tool', 'programs or files that Saveoops needs are not installed', {
    where: 'this machine',
    found: `missing: ${names.join(', ')}`,
    wanted: `the Debian package${packages.length === 1 ? '' : 's'} ${packages.join(', ')}`,
    hint: installLine(missing),
  });
}

async function anyAccessible(candidates: readonly string[], mode: number): Promise<boolean> {
  for (const candidate of candidates) {
    try {
      await access(candidate, mode);
      return true;
    } catch {
      // The next candidate may do.
    }
  }
  return false;
}
