/** Where the symbols of a distribution's kernel come from, by what its banner says. */

export interface DebugPackage {
  readonly distribution: string;
  /** A command line, for a person to run. */
  readonly install: string;
  readonly where: string;
  /** Where it puts the vmlinux. */
  readonly vmlinux: string;
}

/** Whether a text can stand in a command line as a kernel's release. */
export function isRelease(text: string): boolean {
  return /^[A-Za-z0-9][A-Za-z0-9.+_~-]{0,99}$/.test(text);
}

/** @param release of the kernel; undefined for what is no release: the command lines would be somebody else's */
export function debugPackage(release: string | undefined, banner: string): DebugPackage | undefined {
  if (release === undefined || !isRelease(release)) return undefined;
  if (banner.includes('debian')) {
    const version = / Debian ([A-Za-z0-9.+~:-]{1,60}) \(/.exec(banner)?.[1];
    return {
      distribution: 'Debian',
      install: `apt-get install linux-image-${release}-dbg${version === undefined ? '' : `=${version}`}`,
      where:
        'the archive that the kernel came from; of a version that is gone from there, the snapshot archive. The version must be the same',
      vmlinux: `/usr/lib/debug/boot/vmlinux-${release}`,
    };
  }
  if (/ubuntu/i.test(banner)) {
    return {
      distribution: 'Ubuntu',
      install: `apt-get install linux-image-${release}-dbgsym`,
      where: 'the ddebs archive, see "Debug Symbol Packages" in the documentation of Ubuntu',
      vmlinux: `/usr/lib/debug/boot/vmlinux-${release}`,
    };
  }
  if (/\.(?:fc|el)\d/.test(release)) {
    return {
      distribution: 'Fedora, RHEL and their kin',
      install: `dnf debuginfo-install kernel-${release}`,
      where: 'the debuginfo repositories',
      vmlinux: `/usr/lib/debug/lib/modules/${release}/vmlinux`,
    };
  }
  return undefined;
}
