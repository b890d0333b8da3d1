/** The kernels of a /boot folder: which there are, and the initramfs that belongs to each. */
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { SaveoopsError } from '../errors.js';
import { fileError } from '../host/files.js';

/** As `uname -r` prints it, and the files in /boot, without their folder. */
export interface InstalledKernel {
  readonly version: string;
  readonly kernel: string;
  /** undefined: this kernel has none. */
  readonly initrd: string | undefined;
}

const kernelPrefix = 'vmlinuz-';
/** What initramfs-tools (and dracut on Debian), dracut, and mkinitcpio's and openSUSE's kernels call it. */
const initrdNames = (version: string): readonly string[] => [
  `initrd.img-${version}`,
  `initramfs-${version}.img`,
  `initrd-${version}`,
];

/** Versions are put into paths and boot menus. Throws `usage` for one that could lead out of the folder. */
export function checkVersion(version: string): string {
  if (/^[A-Za-z0-9][A-Za-z0-9.+~_-]*$/.test(version) && !/\.(new|old)$/.test(version)) return version;
  throw new SaveoopsError('usage', 'not a kernel version', {
    where: 'the version of the kernel',
    found: JSON.stringify(version),
    wanted: 'what uname -r prints: 6.1.0-56-amd64',
  });
}

/** All kernels in `boot`, newest first. Throws `file`. */
export async function installedKernels(boot: string): Promise<readonly InstalledKernel[]> {
  let names: string[];
  try {
    names = await readdir(boot);
  } catch (error) {
    throw fileError(boot, 'the folder with the kernels', error);
  }
  const byNumbers = new Intl.Collator('en', { numeric: true });
  const versions = names
    .filter((name) => name.startsWith(kernelPrefix))
    .map((name) => name.slice(kernelPrefix.length))
    // Not ours: vmlinuz-6.1.0.dpkg-new would do, but a name that no package gives is no kernel to arm.
    .filter(
      (version) => /^[0-9][A-Za-z0-9.+~_-]*$/.test(version) && !/\.(new|old|bak|dpkg-\w+)$/.test(version),
    )
    .sort((a, b) => byNumbers.compare(b, a));
  const kernels: InstalledKernel[] = [];
  for (const version of versions) {
    const kernel = `${kernelPrefix}${version}`;
    const status = await stat(join(boot, kernel)).catch(() => undefined);
    if (status?.isFile() !== true) continue;
    const initrd = initrdNames(version).find((name) => names.includes(name));
    kernels.push({ version, kernel, initrd });
  }
  return kernels;
}
