/**
 * What programs in the crash kernel write comes to the host on a disk of its own: an ext4 file system on virtio, which
 * the crash kernel mounts with the modules of its package. Only mke2fs and debugfs touch it here, so no root rights.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { captureRunning } from './capture-guest.js';

const run = (program: string, args: readonly string[]): string =>
  execFileSync(program, args, {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`, LC_ALL: 'C' },
  });

/** An empty ext4 disk in a temporary folder. */
export class DumpDisk {
  private readonly folder = mkdtempSync(join(tmpdir(), 'svo-'));
  private readonly image = join(this.folder, 'dumps.img');

  /** @param size MiB; the file is sparse */
  constructor(size = 1024) {
    writeFileSync(this.image, '');
    truncateSync(this.image, size << 20);
    run('mke2fs', ['-q', '-F', '-t', 'ext4', '-E', 'lazy_itable_init=1', '-O', '^has_journal', this.image]);
  }

  /** QEMU options that plug it in. */
  get options(): readonly string[] {
    return [
      ...['-drive', `if=none,id=dumps,format=raw,cache=unsafe,file=${this.image}`],
      ...['-device', 'virtio-blk-pci,drive=dumps'],
    ];
  }

  /** Copies a file to the host and gives its name there. Throws when the disk has none. */
  file(path: string): string {
    const out = join(this.folder, path.replaceAll('/', '-'));
    // debugfs says what went wrong, but always ends with status 0.
    rmSync(out, { force: true });
    run('debugfs', ['-R', `dump -p /${path} ${out}`, this.image]);
    return out;
  }

  text(path: string): string {
    return readFileSync(this.file(path), 'utf8');
  }

  /** Names in a folder of the disk, sorted. */
  names(path: string): readonly string[] {
    return run('debugfs', ['-R', `ls -p /${path}`, this.image])
      .split('\n')
      .map((line) => line.split('/')[5] ?? '')
      .filter((name) => name !== '' && name !== '.' && name !== '..' && name !== 'lost+found')
      .sort();
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/**
 * The built-in capture initramfs running `script`, which finds the dump disk mounted on /mnt.
 * @param flavour of the crash kernel, whose modules come along
 */
export async function captureWith(script: string, flavour: string): Promise<string> {
  const lines = [
    // What a kernel has built in is no error, and the mount tells.
    'modprobe -qa virtio_pci virtio_blk ext4',
    'mkdir -p /mnt',
    'mount -t ext4 /dev/vda /mnt',
    script,
    'umount /mnt',
  ];
  return await captureRunning(lines.join('\n'), flavour);
}
