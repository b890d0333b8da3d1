/**
 * What programs in the crash kernel write comes to the host on a disk of its own: an ext4 file system on virtio, which
 * the crash kernel mounts with the modules of its package. Only mke2fs and debugfs touch it here, so no root rights.
 */
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { buildCaptureInitramfs } from '../../src/capture/build-initramfs.js';
import { writeCpioArchive, type ArchiveEntry } from '../../src/capture/cpio-archive.js';
import { cache, digestOf, makeOnce } from './folders.js';
import { guestHead } from './guest.js';
import { stockKernel } from './payloads.js';

/** In the order in which they need each other (depends= of their .modinfo). */
const diskModules = [
  ...['virtio_ring', 'virtio', 'virtio_pci_legacy_dev', 'virtio_pci_modern_dev', 'virtio_pci', 'virtio_blk'],
  ...['crc16', 'mbcache', 'jbd2', 'crc32c_generic', 'ext4'],
];

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
 * The built-in capture initramfs with the dump tools, where another script takes the place of /init: it finds the
 * dump disk mounted on /mnt, and the machine is switched off behind it. Gives a path under .cache/guests.
 * @param flavour of the crash kernel, whose modules come along
 */
export async function captureWith(script: string, flavour: string): Promise<string> {
  const init = [
    guestHead,
    ...diskModules.map((name) => `insmod /lib/modules/${name}.ko`),
    'mkdir -p /mnt',
    'mount -t ext4 /dev/vda /mnt',
    script,
    'umount /mnt',
    'poweroff -f',
    '',
  ].join('\n');
  const base = await buildCaptureInitramfs({ dumps: true });
  const modules = readModules(flavour);
  const key = digestOf(init, base.bytes, ...modules.flatMap(({ path, bytes }) => [path, bytes]));
  return await makeOnce(join(cache, 'guests', `capture-${key}.cpio.gz`), async (out) => {
    const overlay: ArchiveEntry[] = [
      { path: 'init', mode: 0o755, kind: 'file', bytes: Buffer.from(init) },
      ...modules.map(({ path, bytes }): ArchiveEntry => ({ path, mode: 0o644, kind: 'file', bytes })),
    ];
    // The kernel unpacks archives one after the other; of two files of one name the later stays.
    await writeFile(out, Buffer.concat([base.bytes, gzipSync(await writeCpioArchive(overlay))]));
  });
}

function readModules(flavour: string): readonly { path: string; bytes: Uint8Array }[] {
  const folder = dirname(stockKernel(flavour).vmlinuz);
  // Debian puts the image into /boot, since 7.x beside the modules; these into /lib, since 6.12 into /usr/lib.
  const places = ['../lib/modules', '../usr/lib/modules'].map((place) => join(folder, place));
  const modules = places.find((place) => existsSync(place)) ?? folder;
  const found = new Map<string, Uint8Array>();
  for (const entry of readdirSync(modules, { recursive: true, withFileTypes: true })) {
    const [, name = '', packing] = /^(.*)\.ko(\.xz)?$/.exec(entry.name) ?? [];
    if (!diskModules.includes(name)) continue;
    const path = join(entry.parentPath, entry.name);
    found.set(
      name,
      packing === undefined ? readFileSync(path) : execFileSync('xz', ['-dc', path], { maxBuffer: 1 << 25 }),
    );
  }
  // A module that a kernel does not have is built in.
  return [...found].map(([name, bytes]) => ({ path: `lib/modules/${name}.ko`, bytes }));
}
