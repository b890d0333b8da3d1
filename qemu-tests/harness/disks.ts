/** Disks on which the crash kernel saves, read on the host by the tools of their file systems. No root rights. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  closeSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const env = { ...process.env, PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`, LC_ALL: 'C', TZ: 'UTC' };

/** Runs a program of the host and gives its output. */
export function host(program: string, args: readonly string[], input?: Uint8Array): string {
  return execFileSync(program, args, {
    encoding: 'utf8',
    stdio: ['pipe', 'pipe', 'pipe'],
    maxBuffer: 1 << 28,
    env,
    ...(input === undefined ? {} : { input }),
  });
}

export function sha256Of(path: string): string {
  return createHash('sha256').update(readFileSync(path)).digest('hex');
}

/** Makes a file system with a label in an image. */
const makers = {
  ext4: (image: string, label: string) => host('mke2fs', ['-q', '-F', '-t', 'ext4', '-L', label, image]),
  xfs: (image: string, label: string) => host('mkfs.xfs', ['-q', '-f', '-L', label, image]),
  btrfs: (image: string, label: string) => host('mkfs.btrfs', ['-q', '-L', label, image]),
  vfat: (image: string, label: string) => host('mkfs.fat', ['-n', label, image]),
  swap: (image: string, label: string) => host('mkswap', ['-q', '-L', label, image]),
} as const;

export type DiskFormat = keyof typeof makers;

/** A disk without partition table, in a temporary folder. */
export class Disk {
  private readonly folder = mkdtempSync(join(tmpdir(), 'svo-'));
  readonly image = join(this.folder, 'disk.img');

  /** @param size MiB; the file is sparse */
  constructor(
    readonly format: DiskFormat,
    readonly label: string,
    size: number,
  ) {
    writeFileSync(this.image, '', { mode: 0o600 });
    truncateSync(this.image, size << 20);
    makers[format](this.image, label);
  }

  /** QEMU's name of it. */
  get id(): string {
    return `${this.format}-${this.label}`;
  }

  /** QEMU options that plug it in, on virtio. */
  get options(): readonly string[] {
    return [
      ...['-drive', `if=none,id=${this.id},format=raw,cache=unsafe,file=${this.image}`],
      ...['-device', `virtio-blk-pci,drive=${this.id}`],
    ];
  }

  get sha256(): string {
    return sha256Of(this.image);
  }

  /** Writes bytes at an offset, as another program than ours would have left them. */
  poke(offset: number, bytes: string): void {
    const all = readFileSync(this.image);
    all.write(bytes, offset, 'latin1');
    writeFileSync(this.image, all);
  }

  /** Names in a folder, sorted; none when there is no such folder. */
  names(path: string): readonly string[] {
    return this.list(path)
      .filter((name) => !['', '.', '..', 'lost+found'].includes(name))
      .sort();
  }

  /** Copies a file to the host and gives its name there. */
  file(path: string): string {
    const out = join(this.folder, path.replaceAll('/', '-'));
    rmSync(out, { force: true });
    this.copy(path, out);
    if (!existsSync(out)) throw new Error(`the disk ${this.label} has no ${path}`);
    return out;
  }

  text(path: string): string {
    return readFileSync(this.file(path), 'utf8');
  }

  /** What the file system's own checker says of it; throws when it is not clean. */
  fsck(): void {
    switch (this.format) {
      case 'ext4':
        host('e2fsck', ['-f', '-n', this.image]);
        return;
      case 'xfs':
        host('xfs_repair', ['-n', '-f', this.image]);
        return;
      case 'btrfs':
        host('btrfs', ['check', this.image]);
        return;
      case 'vfat':
        host('fsck.fat', ['-n', this.image]);
        return;
      case 'swap':
    }
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }

  private list(path: string): readonly string[] {
    switch (this.format) {
      case 'ext4':
        return host('debugfs', ['-R', `ls -p /${path}`, this.image])
          .split('\n')
          .map((line) => line.split('/')[5] ?? '');
      case 'xfs':
        return this.xfsDb(`path /${path}`, 'ls')
          .split('\n')
          .map((line) => line.trim().split(/\s+/)[5] ?? '');
      case 'btrfs':
        return readdirSync(join(this.restored(), path));
      case 'vfat':
      case 'swap':
        return mtoolsNames(this.image, path);
    }
  }

  private copy(path: string, out: string): void {
    switch (this.format) {
      case 'ext4':
        host('debugfs', ['-R', `dump -p /${path} ${out}`, this.image]);
        return;
      case 'xfs':
        this.copyFromXfs(path, out);
        return;
      case 'btrfs':
        copyFileSync(join(this.restored(), path), out);
        return;
      case 'vfat':
      case 'swap':
        host('mcopy', ['-n', '-i', this.image, `::/${path}`, out]);
    }
  }

  /** A folder with all that a btrfs holds. */
  private restored(): string {
    const all = join(this.folder, 'restored');
    rmSync(all, { recursive: true, force: true });
    mkdirSync(all);
    host('btrfs', ['restore', this.image, all]);
    return all;
  }

  private xfsDb(...commands: readonly string[]): string {
    return host('xfs_db', ['-r', '-f', ...commands.flatMap((command) => ['-c', command]), this.image]);
  }

  /** xfs_db shows where a file lies; there it is read. */
  private copyFromXfs(path: string, out: string): void {
    const size = Number(/core\.size = (\d+)/.exec(this.xfsDb(`path /${path}`, 'print core.size'))?.[1]);
    const blockSize = Number(/blocksize = (\d+)/.exec(this.xfsDb('sb 0', 'print blocksize'))?.[1]);
    const bytes = Buffer.alloc(size);
    const disk = openSync(this.image, 'r');
    const extents = this.xfsDb(`path /${path}`, 'bmap').matchAll(
      /data offset (\d+) startblock (\d+) \(\d+\/\d+\) count (\d+)/g,
    );
    for (const [, offset, start, count] of extents) {
      const daddr = Number(/\((\d+)\)/.exec(this.xfsDb(`convert fsblock ${start} daddr`))?.[1]);
      const from = Number(offset) * blockSize;
      readSync(disk, bytes, from, Math.min(Number(count) * blockSize, size - from), daddr * 512);
    }
    closeSync(disk);
    writeFileSync(out, bytes);
  }
}

/** Names in a folder of a FAT, `image` as mtools takes it (FILE or FILE@@OFFSET). */
export function mtoolsNames(image: string, path: string): readonly string[] {
  return host('mdir', ['-b', '-i', image, `::/${path}`])
    .split('\n')
    .map((line) => line.trim().replace(/\/$/, '').split('/').pop() ?? '');
}

/** Bytes of a host file. */
export const sizeOf = (path: string): number => statSync(path).size;
