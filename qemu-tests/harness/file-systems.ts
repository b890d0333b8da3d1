/** Small file systems in image files, each with one file, made by the file system's own tools without root rights. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export const fileSystems = ['ext4', 'vfat', 'xfs', 'btrfs', 'iso9660'] as const;
export type FileSystem = (typeof fileSystems)[number];

const run = (program: string, ...args: readonly string[]): void => {
  execFileSync(program, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`, LC_ALL: 'C' },
  });
};

/** The smallest that every mkfs accepts, MiB; the files are sparse. */
const size = 320;

/** Writes `image`, whose file system holds the file `name` with `text`. */
export function makeFileSystem(type: FileSystem, image: string, name: string, text: string): void {
  const folder = mkdtempSync(join(tmpdir(), 'svo-'));
  try {
    const file = join(folder, name);
    writeFileSync(file, text);
    writeFileSync(image, '');
    // A power of two: QEMU takes no other for an SD card.
    truncateSync(image, (type === 'vfat' ? 32 : size) << 20);
    switch (type) {
      case 'ext4':
        run('mke2fs', '-q', '-F', '-t', 'ext4', '-d', folder, image);
        break;
      case 'vfat':
        run('mkfs.fat', image);
        run('mcopy', '-i', image, file, `::${name}`);
        break;
      case 'xfs': {
        const proto = join(folder, 'proto');
        writeFileSync(proto, `/\n0 0\nd--755 0 0\n${name} ---644 0 0 ${file}\n$\n`);
        run('mkfs.xfs', '-q', '-f', '-p', proto, image);
        break;
      }
      case 'btrfs':
        run('mkfs.btrfs', '-q', '-f', '--rootdir', folder, image);
        break;
      case 'iso9660':
        run('xorriso', '-as', 'mkisofs', '-quiet', '-o', image, folder);
        break;
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
