/** Media and networks under UEFI, beside what efi.test.ts has of them. Part of `npm run test:efi`. */
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { withTemporaryFolder } from '../src/host/files.js';
import { bootFrom, bootPayload, captured, check } from './harness/boot.js';
import { buildPayloadFolder } from './harness/build.js';
import { bootEfiFile } from './harness/esp.js';
import { cache, makeOnce } from './harness/folders.js';
import { makeDisk, savedLogs, virtioDisk } from './harness/partitions.js';
import { payload, stockKernel, toolDigest } from './harness/payloads.js';

const limit = 300_000;
const vfsPanic = 'Kernel panic - not syncing: VFS: Unable to mount root fs';

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

describe('--save boot without a boot loader', () => {
  const savingImage = async (): Promise<string> => {
    const name = `efi-saving-${toolDigest()}`;
    const folder = await makeOnce(join(cache, 'payloads', name), async (out) => {
      const kernel = stockKernel('cloud-amd64').vmlinuz;
      await buildPayloadFolder({ kernel, out, format: 'efi', save: 'boot', crashAppend: 'saveoops.hold=0' });
    });
    return join(folder, 'saveoops.efi');
  };

  // Some firmware counts partitions, Linux the places of the table: the second one there is the third place.
  test(
    'on an MBR with a free place is the partition that firmware has started',
    async () => {
      const source = await savingImage();
      await withTemporaryFolder(async (folder) => {
        const disk = join(folder, 'disk.img');
        const sectors = (256 << 20) / 512;
        const [second, third] = [2048, 2048 + sectors];
        await makeDisk(
          disk,
          ['label: dos', 'label-id: 0x0badcafe'],
          [
            { place: 2, start: second, words: 'type=ef', files: [] },
            { place: 3, start: third, words: 'type=ef', files: [{ path: 'EFI/BOOT/BOOTX64.EFI', source }] },
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

  test(
    'on a disk without partitions is not known, and it says so',
    async () => {
      const result = await bootEfiFile(await savingImage(), undefined, { endAt: [] });
      captured(result, vfsPanic);
      check(result, () => {
        expect(result.serial).toContain(
          'saveoops: not saved: neither boot loader nor firmware said what was booted from (no saveoops.boot=)',
        );
      });
    },
    limit,
  );
});
