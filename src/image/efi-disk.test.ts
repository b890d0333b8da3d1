/** Disks with a boot loader for UEFI, read back with mtools. That they boot is shown in qemu-tests/. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { withTemporaryFolder } from '../host/files.js';
import { loaderNeeds, makeEfiDisk } from './efi-disk.js';
import { efiLoaders, type EfiLoader } from './efi-loaders.js';

const commandLine = 'root=/dev/sda1 quiet x=a#b y="c d;e"';

/** What a file of the disk holds. */
async function fileOf(name: EfiLoader, path: string): Promise<string> {
  return await withTemporaryFolder(async (folder) => {
    const [image, first, second, out] = ['image', 'first', 'second', 'disk'].map((each) =>
      join(folder, each),
    ) as [string, string, string, string];
    for (const file of [image, first, second]) await writeFile(file, `the ${file}`);
    await makeEfiDisk(name, { image, initrds: [first, second], commandLine }, out, folder);
    const { status, stdout, stderr } = spawnSync('mtype', ['-i', out, `::/${path}`], { encoding: 'utf8' });
    if (status !== 0) throw new Error(stderr);
    return stdout.replaceAll(folder, '');
  });
}

describe('a disk without a loader', () => {
  test('has a script for the shell, which keeps what would mean something to the shell', async () => {
    expect(await fileOf('firmware', 'startup.nsh')).toBe(
      'fs0:\r\nsaveoops.efi root=/dev/sda1 quiet x=a^#b y=^"c d;e^" initrd=\\initrd-0 initrd=\\initrd-1\r\n',
    );
  });

  test('has the image and the initrds', async () => {
    expect(await fileOf('firmware', 'saveoops.efi')).toBe('the /image');
    expect(await fileOf('firmware', 'initrd-1')).toBe('the /second');
  });
});

const configurations: readonly [EfiLoader, string, RegExp][] = [
  [
    'grub',
    'EFI/debian/grub.cfg',
    /^linux \/saveoops\.efi root=\/dev\/sda1 quiet 'x=a#b' 'y="c' 'd;e"'\ninitrd \/initrd-0 \/initrd-1$/m,
  ],
  [
    'systemd-boot',
    'loader/entries/saveoops.conf',
    /^options root=\/dev\/sda1 quiet x=a#b y="c d;e"\ninitrd \/initrd-0\ninitrd \/initrd-1$/m,
  ],
];

test.each(configurations)(
  '%s gets its configuration, or its package is named',
  async (name, path, wanted) => {
    const { file = '', package: debianPackage } =
      loaderNeeds(name).find((need) => need.file !== undefined) ?? {};
    if (existsSync(file)) {
      expect(await fileOf(name, path)).toMatch(wanted);
    } else {
      await expect(fileOf(name, path)).rejects.toMatchObject({
        kind: 'tool',
        hint: expect.stringContaining(`${debianPackage}`),
      });
    }
  },
);

test('each loader has a test here', () => {
  expect(['firmware', ...configurations.map(([name]) => name)]).toEqual([...efiLoaders]);
});
