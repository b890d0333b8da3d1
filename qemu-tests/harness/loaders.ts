/** Boot loaders and firmware by Debian release: Debian 12's are installed, others unpacked (scripts/loader-packages.sh). */
import { join } from 'node:path';
import type { RunOptions } from './boot.js';
import { cache } from './folders.js';
import { startedFile, type EspFile } from './make-esp.js';

export type Release = 'bookworm' | 'trixie' | 'sid';

/** The name on the host of a file that a package of a release has. */
export function packageFile(release: Release, name: string, path: string): string {
  return release === 'bookworm' ? `/${path}` : join(cache, 'loaders', release, name, path);
}

/**
 * GRUB with its modules and a built-in prefix: it reads /EFI/debian/grub.cfg of the file system that it was started
 * from.
 */
export function grubFile(release: Release): string {
  return packageFile(release, 'grub-efi-amd64-unsigned', 'usr/lib/grub/x86_64-efi/monolithic/grubx64.efi');
}

/** What GRUB does on a disk that has the kernel as /kernel. @param lines that load it */
export function grubConfig(...lines: readonly string[]): EspFile {
  const text = ['search --file --set=root /kernel', ...lines, 'boot', ''].join('\n');
  return { path: 'EFI/debian/grub.cfg', source: { text } };
}

/** As firmware's boot loader, with that configuration. */
export function grubFiles(release: Release, ...lines: readonly string[]): readonly EspFile[] {
  return [{ path: startedFile, source: grubFile(release) }, grubConfig(...lines)];
}

/** As firmware's boot loader, with one entry of type 1. @param lines of the entry, beside its title */
export function systemdBootFiles(release: Release, ...lines: readonly string[]): readonly EspFile[] {
  const text = ['title a', 'linux /kernel', ...lines, ''].join('\n');
  return [
    { path: startedFile, source: systemdBootFile(release) },
    { path: 'loader/entries/a.conf', source: { text } },
  ];
}

export function systemdBootFile(release: Release): string {
  return packageFile(release, 'systemd-boot-efi', 'usr/lib/systemd/boot/efi/systemd-bootx64.efi');
}

export function ipxeFile(release: Release): string {
  return packageFile(release, 'ipxe', 'usr/lib/ipxe/ipxe.efi');
}

/**
 * - `OVMF_CODE_4M.fd`: as `--firmware uefi`
 * - `...secboot.fd`: variables protected by SMM; checks signatures once there are keys; no shell
 * - `...secboot.strictnx.fd`: and memory is never writable and executable, with the protocol that changes that
 */
export type OvmfCode = 'OVMF_CODE_4M.fd' | 'OVMF_CODE_4M.secboot.fd' | 'OVMF_CODE_4M.secboot.strictnx.fd';

/** Options of a machine that starts with that firmware. What it writes to `variables` is forgotten, unless `keep`. */
export function ovmf(
  release: Release,
  code: OvmfCode,
  variables: string = ovmfFile(release, 'OVMF_VARS_4M.fd'),
  keep = false,
): RunOptions {
  const secure = code !== 'OVMF_CODE_4M.fd';
  return {
    // These drives are in place of the default's.
    firmware: 'bios',
    board: secure ? 'q35,smm=on' : 'q35',
    extra: [
      ...(secure ? ['-global', 'driver=cfi.pflash01,property=secure,value=on'] : []),
      ...['-drive', `if=pflash,format=raw,readonly=on,file=${ovmfFile(release, code)}`],
      ...['-drive', `if=pflash,format=raw,snapshot=${keep ? 'off' : 'on'},file=${variables}`],
    ],
  };
}

export function ovmfFile(release: Release, name: string): string {
  return packageFile(release, release === 'sid' ? 'ovmf-generic' : 'ovmf', `usr/share/OVMF/${name}`);
}
