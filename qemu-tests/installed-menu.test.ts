/**
 * What `saveoops update` leaves in /boot, as Syslinux reads it: names relative to another folder, an included menu. The short form
 * of the real test (debian-panics.lane.ts): installed, armed, dead, saved on the boot file system, reported from there.
 */
import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { expect, test } from '@jest/globals';
import { withTemporaryFolder } from '../src/host/files.js';
import { partitionStart, sectorSize } from '../src/image/fat-geometry.js';
import { serialLines } from '../src/machine/serial-text.js';
import { runSaveoops } from '../src/testkit/command-line.js';
import { thorough } from '../src/testkit/lanes.js';
import { bootDisk, bootPayload, captured, check, serialConsole } from './harness/boot.js';
import { host } from './harness/disks.js';
import { stockKernel } from './harness/payloads.js';

const limit = 240_000;
const { vmlinuz } = stockKernel('amd64');
const version = basename(vmlinuz).slice('vmlinuz-'.length);
const menu = 'syslinux-saveoops.cfg';
const vfsPanic = 'Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)';
/** Of the user: an entry that would not boot, as a default that the menu must replace. */
const own = `SERIAL 0 115200\nPROMPT 0\nDEFAULT own\nLABEL own\n\tLINUX nothing\n\tAPPEND ${serialConsole}\n`;

/**
 * A /boot with one kernel, updated, then on a FAT disk: /syslinux with the loader and the user's configuration,
 * /vmlinuz-V, /saveoops/V/saveoops.c32, /saveoops/syslinux-saveoops.cfg. `damage` changes the payload before.
 */
async function bootInstalled(options: {
  readonly endAt?: readonly RegExp[];
  readonly damage?: (payload: Buffer) => void;
}): Promise<Awaited<ReturnType<typeof bootPayload>>> {
  return await withTemporaryFolder(async (boot) => {
    const kernel = `vmlinuz-${version}`;
    const loader = join(boot, 'syslinux');
    await mkdir(loader);
    await copyFile(vmlinuz, join(boot, kernel));
    await writeFile(join(loader, 'syslinux.cfg'), own);
    const args = ['--boot-config', join(loader, 'syslinux.cfg'), '--append', serialConsole, '--no-config'];
    args.push(
      '--save',
      'boot',
      '--crash-append',
      'saveoops.print=all',
      '--modules',
      dirname(dirname(vmlinuz)),
    );
    expect(runSaveoops(['update', '--boot', boot, ...args])).toMatchObject({ status: 0, stderr: '' });
    const config = await readFile(join(loader, 'syslinux.cfg'));
    const bytes = await readFile(join(boot, 'saveoops', version, 'saveoops.c32'));
    options.damage?.(bytes);
    // The image maker knows one folder: files are put there and moved afterwards.
    await writeFile(join(loader, 'saveoops.c32'), bytes);
    await copyFile(join(boot, kernel), join(loader, kernel));
    const entry = `LABEL saveoops\n\tCOM32 saveoops.c32\n\tINITRD ${kernel},${menu}\n`;
    await writeFile(join(loader, 'syslinux.cfg'), entry);
    await copyFile(join(boot, 'saveoops', menu), join(loader, menu));
    return await bootPayload(loader, {
      writable: true,
      ...(options.endAt !== undefined && { endAt: options.endAt }),
      edit: async (files) => {
        await writeFile(join(files, 'syslinux.cfg'), config);
      },
      rearrange: async (image) => {
        const drive = `${image}@@${partitionStart * sectorSize}`;
        host('mmd', ['-i', drive, '::/saveoops', `::/saveoops/${version}`]);
        host('mmove', ['-i', drive, '::/syslinux/saveoops.c32', `::/saveoops/${version}`]);
        host('mmove', ['-i', drive, `::/syslinux/${menu}`, '::/saveoops']);
        host('mmove', ['-i', drive, `::/syslinux/${kernel}`, '::/']);
      },
    });
  });
}

test(
  'the default is the armed entry of the included menu; its panic is captured and reported',
  async () => {
    const result = await bootInstalled({ endAt: [] });
    const log = captured(result, vfsPanic);
    expect(log).toContain(`BOOT_IMAGE=../saveoops/${version}/saveoops.c32 ${serialConsole}`);
    const report = runSaveoops(['report', `${bootDisk(result)}:last`]);
    expect(report).toMatchObject({ status: 0, stderr: '' });
    expect(report.stdout).toContain(vfsPanic);
    expect(report.stdout).toContain('mount_block_root');
  },
  limit,
);

thorough(
  'a payload that was damaged on the disk: its message, and the plain entry of the menu',
  async () => {
    const result = await bootInstalled({
      endAt: [/Kernel panic - not syncing/],
      damage: (bytes) => {
        // In the kernel that leads the image, whose digest the loader checks.
        bytes.writeUInt32LE(~bytes.readUInt32LE(2 << 20) >>> 0, 2 << 20);
      },
    });
    check(result, () => {
      const lines = serialLines(result.serial);
      expect(lines.some((line) => /saveoops: E24 not armed/.test(line))).toBe(true);
      expect(lines.some((line) => line.includes(`BOOT_IMAGE=../vmlinuz-${version} `))).toBe(true);
      expect(lines.some((line) => line.includes(vfsPanic))).toBe(true);
    });
  },
  limit,
);
