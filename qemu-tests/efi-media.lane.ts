/** Media and networks under UEFI, beside what efi.test.ts has of them. Part of `npm run test:efi`. */
import { cp } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from '@jest/globals';
import { withTemporaryFolder } from '../src/host/files.js';
import { bootFrom, bootPayload, captured, check, guestBlock, serialConsole } from './harness/boot.js';
import { composedImage, guestPanic, limit, saving, vfsPanic } from './efi-lane.js';
import { bootEfiFile } from './harness/esp.js';
import { grubFiles, systemdBootFiles } from './harness/loaders.js';
import { startedFile, type EspFile } from './harness/make-esp.js';
import { readManifest } from '../src/image/payload-folder.js';
import { flipByte } from './harness/flip-byte.js';
import { blockEnds, guestInitramfs, printBlock } from './harness/guest.js';
import { makeDisk, savedLogs, virtioDisk } from './harness/partitions.js';
import { payload, stockKernel } from './harness/payloads.js';
import { emptyFolder, recipe, runRecipe } from './harness/recipes.js';

describe('an ISO image copied to a stick boots armed, and its panic is captured', () => {
  test.each(['bios', 'uefi'] as const)(
    '%s',
    async (firmware) => {
      const dir = await payload({ flavour: 'cloud-amd64', name: 'efi-iso' });
      captured(await bootPayload(dir, { firmware, media: 'iso-as-disk' }), vfsPanic);
    },
    limit,
  );
});

const notKnown =
  'saveoops: not saved: neither boot loader nor firmware said what was booted from (no saveoops.boot=)';

describe('--save boot of the composed image', () => {
  // Some firmware counts partitions, Linux the places of the table: the second one there is the third place.
  test(
    'on an MBR with a free place is the partition that firmware has started',
    async () => {
      const source = await composedImage(saving);
      await withTemporaryFolder(async (folder) => {
        const disk = join(folder, 'disk.img');
        const sectors = (256 << 20) / 512;
        const [second, third] = [2048, 2048 + sectors];
        await makeDisk(
          disk,
          ['label: dos', 'label-id: 0x0badcafe'],
          [
            { place: 2, start: second, words: 'type=ef', files: [] },
            { place: 3, start: third, words: 'type=ef', files: [{ path: startedFile, source }] },
          ],
        );
        const boot = { kind: 'disk', image: disk, writable: true, device: virtioDisk('disk', 0) } as const;
        const result = await bootFrom(boot, { firmware: 'uefi', endAt: [] });
        captured(result, vfsPanic);
        check(result, () => {
          expect(result.serial).toContain('saveoops: saved on /dev/vda3 (vfat, boot, UUID ');
          expect(savedLogs(disk, third)).toEqual([expect.stringContaining(vfsPanic)]);
          expect(savedLogs(disk, second)).toEqual([]);
        });
      });
    },
    limit,
  );

  test.each<[string, boolean, readonly EspFile[]]>([
    ['systemd-boot', true, systemdBootFiles('bookworm', `options ${serialConsole}`)],
    ['GRUB of bookworm, linuxefi', true, grubFiles('bookworm', `linuxefi /kernel ${serialConsole}`)],
    ['GRUB of bookworm, chainloader', true, grubFiles('bookworm', `chainloader /kernel ${serialConsole}`)],
    ['GRUB of trixie, linux', true, grubFiles('trixie', `linux /kernel ${serialConsole}`)],
    // It leaves UEFI by itself, before the entry stub is there.
    ['GRUB of bookworm, linux', false, grubFiles('bookworm', `linux /kernel ${serialConsole}`)],
  ])(
    'is the partition that a loader was started from: %s',
    async (_, isTold, loader) => {
      await withTemporaryFolder(async (folder) => {
        const disk = join(folder, 'disk.img');
        const [start, files] = [2048, [...loader, { path: 'kernel', source: await composedImage(saving) }]];
        await makeDisk(disk, ['label: gpt'], [{ start, words: 'type=uefi', files }]);
        const boot = { kind: 'disk', image: disk, writable: true, device: virtioDisk('disk', 0) } as const;
        const result = await bootFrom(boot, { firmware: 'uefi', endAt: [] });
        captured(result, vfsPanic);
        check(result, () => {
          expect(savedLogs(disk, start)).toHaveLength(isTold ? 1 : 0);
          expect(result.serial).toContain(
            isTold ? 'saveoops: saved on /dev/vda1 (vfat, boot, UUID ' : notKnown,
          );
        });
      });
    },
    limit,
  );

  test(
    'on a disk without partitions is not known, and it says so',
    async () => {
      const result = await bootEfiFile(await composedImage(saving), undefined, { endAt: [] });
      captured(result, vfsPanic);
      check(result, () => {
        expect(result.serial).toContain(notKnown);
      });
    },
    limit,
  );
});

describe('by network, as docs/recipes.md says', () => {
  let folder: string;
  let tftp: string;
  beforeAll(async () => {
    folder = emptyFolder('efi-network');
    tftp = join(folder, 'tftp');
    const values = {
      KERNEL: stockKernel('cloud-amd64').vmlinuz,
      INITRD: await guestInitramfs(
        `${printBlock('cmdline', 'cat /proc/cmdline')}echo c > /proc/sysrq-trigger\n`,
      ),
      APPEND: serialConsole,
    };
    for (const mark of ['', 'uefi']) await runRecipe(recipe('PXE server', mark), folder, values);
    await runRecipe(recipe('iPXE', 'ipxe'), folder, values);
  }, limit);

  test.each([
    ["iPXE's driver in the ROM of the network card", []],
    ["EDK2's own driver", ['-global', 'virtio-net-pci.romfile=']],
  ])(
    'syslinux.efi loads the payload by TFTP, and the panic is captured: %s',
    async (_, extra) => {
      const boot = { kind: 'network', tftp, file: 'efi64/syslinux.efi' } as const;
      const result = await bootFrom(boot, { firmware: 'uefi', extra });
      captured(result, guestPanic);
      check(result, () => {
        // A network is no file system to save to.
        expect(guestBlock(result, 'cmdline')).toEqual([`BOOT_IMAGE=saveoops-efi.c32 ${serialConsole}`]);
        expect(result.serial).not.toContain('saveoops.boot=');
      });
    },
    limit,
  );

  test(
    'syslinux.efi boots the plain entry when the payload is damaged',
    async () => {
      const damaged = emptyFolder('efi-network-damaged');
      await cp(folder, damaged, { recursive: true });
      const dir = join(damaged, 'tftp/armed');
      const { regions, primary } = await readManifest(dir);
      const kernel = regions.find(({ name }) => name === 'primary');
      expect(kernel).toBeDefined();
      await flipByte(join(dir, 'saveoops.c32'), (kernel?.offset ?? 0) + 4096);
      const boot = { kind: 'network', tftp: join(damaged, 'tftp'), file: 'efi64/syslinux.efi' } as const;
      const endAt = [new RegExp(blockEnds('cmdline'))];
      const result = await bootFrom(boot, { firmware: 'uefi', endAt });
      check(result, () => {
        expect(guestBlock(result, 'cmdline').join()).toContain(`BOOT_IMAGE=${primary.kernelFile} `);
      });
    },
    limit,
  );

  test.each(['bios', 'uefi'] as const)(
    'iPXE in the ROM of the network card, %s: armed, with the initrd, and the panic is captured',
    async (firmware) => {
      const result = await bootFrom({ kind: 'network', tftp, file: 'armed.ipxe' }, { firmware });
      captured(result, guestPanic);
    },
    limit,
  );
});
