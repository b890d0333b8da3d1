/**
 * UEFI (OVMF): from the loader's own entry to the capture, and from each failure to the plain kernel. A short sample; the
 * lane `efi` has kernels, loaders and memory sizes.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { runTest } from '../src/commands/test.js';
import { withTemporaryFolder } from '../src/host/files.js';
import { readManifest } from '../src/image/payload-folder.js';
import type { ScenarioResult } from '../src/machine/scenario.js';
import { readPhoto } from '../src/panic-code/read-photo.js';
import { thorough } from '../src/testkit/lanes.js';
import { bootUnarmed, composedImage, saving, vfsPanic } from './efi-lane.js';
import { bootFrom, bootPayload, captured, check, guestBlock, serialConsole } from './harness/boot.js';
import { bootFat, captureFacts, damagedFiles } from './harness/boot-fat.js';
import { sha256Of } from './harness/disks.js';
import { makeEsp, startedFile } from './harness/make-esp.js';
import { makeDisk, putPartition, savedLogs, virtioDisk } from './harness/partitions.js';
import { payload } from './harness/payloads.js';
import { asReadByVgaBios, lastRow, screenOf, sizeOf } from './harness/screen.js';
import { screenAtReset } from './harness/screen-at-reset.js';
import { readState, stateGuest } from './state-guest.js';

const limit = 240_000;

describe('syslinux.efi and the module for UEFI', () => {
  const build = async (): Promise<string> =>
    await payload({
      flavour: 'amd64',
      initrds: [await stateGuest()],
      save: 'boot',
      crashAppend: 'saveoops.hold=0 video=efifb:off',
      name: 'efi-state',
    });

  thorough(
    'boot armed, with the initrd, and the boot file system known',
    async () => {
      const result = await bootPayload(await build(), { firmware: 'uefi' });
      check(result, () => {
        const { nodes, cmdline } = readState(guestBlock(result, 'state'));
        expect(nodes).toMatchObject([{ reason: 0 }]);
        expect(cmdline).toMatch(/^BOOT_IMAGE=saveoops-efi\.c32 .*saveoops\.boot=[0-9A-F]{4}-[0-9A-F]{4}$/);
      });
    },
    limit,
  );

  test(
    'and a panic is saved on the disk that they were started from',
    async () => {
      const { options, seen } = screenAtReset(lastRow);
      const result = await bootPayload(await build(), {
        ...options,
        firmware: 'uefi',
        label: 'saveoops-test',
        extraAppend: `${serialConsole} video=efifb:off`,
        writable: true,
      });
      captured(result, vfsPanic);
      const fat = bootFat(result, join(dirname(result.serialLog), 'fat'));
      const captures = captureFacts(fat);
      check(result, () => {
        expect(captures).toMatchObject([{ failures: [], message: expect.stringContaining('VFS') }]);
        expect(damagedFiles(fat, captures)).toEqual([]);
        // No kernel has drawn over the crash stub's word.
        expect(seen()).toBe(asReadByVgaBios('saveoops: kernel panic: starting the crash kernel'));
      });
    },
    limit,
  );
});

thorough(
  'an ISO image boots armed as a CD-ROM, and its panic is captured',
  async () => {
    const dir = await payload({ flavour: 'cloud-amd64', name: 'efi-iso' });
    const result = await bootPayload(dir, { firmware: 'uefi', media: 'iso' });
    captured(result, vfsPanic);
  },
  limit,
);

/** KiB of RAM that the kernel has, of "Memory: 896848K/1047788K available". */
function ramOf({ serial }: ScenarioResult): number {
  return Number(/Memory: \d+K\/(\d+)K available/.exec(serial)?.[1]);
}

/** Bytes of reserved memory in the EFI map, of "efi: mem12: [Reserved ...] range=[0x...-0x...]" with efi=debug. */
function reservedByFirmware({ serial }: ScenarioResult): number {
  const ranges = [...serial.matchAll(/efi: mem\d+: \[Reserved .*range=\[(0x[0-9a-f]+)-(0x[0-9a-f]+)\]/g)];
  if (ranges.length === 0) throw new Error('no reserved memory in the EFI map');
  return ranges.reduce((sum, [, first, last]) => sum + Number(last) - Number(first) + 1, 0);
}

describe('the composed image as an EFI application', () => {
  /** Of a boot that never had a crash region. */
  const plain = { ram: NaN, reserved: NaN };

  test(
    'started by firmware alone is captured, on the screen and on the partition that it came from, and not on its twin on another disk',
    async () => {
      await withTemporaryFolder(async (folder) => {
        const start = 2048;
        const disks = await Promise.all(
          (['0', '1'] as const).map(async (last) => {
            const words = `type=uefi, uuid=0FC63DAF-8483-4772-8E79-3D69D8477DE${last}`;
            const disk = join(folder, `disk-${last}.img`);
            await makeDisk(disk, ['label: gpt'], [{ start, words }]);
            return disk;
          }),
        );
        // Neither UUID nor label of the file system tells the two apart.
        const content = join(folder, 'content');
        await makeEsp(content, [{ path: startedFile, source: await composedImage(saving) }]);
        for (const disk of disks) putPartition(disk, start, content);
        const [disk = '', twin = ''] = disks;
        const before = sha256Of(twin);
        const { options, seen } = screenAtReset(async (qmp, path) => {
          const screen = await screenOf(qmp, path);
          return { size: sizeOf(screen), photo: await readPhoto(path) };
        });
        const result = await bootFrom(
          { kind: 'disk', image: disk, writable: true, device: virtioDisk('disk', 0) },
          {
            ...options,
            firmware: 'uefi',
            extra: [
              ...(options.extra ?? []),
              '-drive',
              `if=none,id=twin,format=raw,file=${twin}`,
              ...virtioDisk('twin', 1),
            ],
          },
        );
        const log = captured(result, vfsPanic);
        check(result, () => {
          const { size, photo } = seen();
          expect(size).toBe('1280x800'); // firmware's own mode; in text mode it would be 640x400
          expect(photo.log.length).toBeGreaterThan(1000);
          expect(log.trimEnd().endsWith(photo.log.trimEnd())).toBe(true);
          expect(savedLogs(disk, start)).toEqual([expect.stringContaining(vfsPanic)]);
          expect(result.serial).toMatch(/saveoops: saved on \/dev\/vd[ab]1 \(vfat, boot, UUID /);
          expect(sha256Of(twin)).toBe(before);
        });
      });
    },
    limit,
  );

  test(
    'with a flipped byte says so on the console of the firmware, and the plain kernel boots',
    async () => {
      const image = await composedImage(saving);
      const { regions } = await readManifest(dirname(image));
      const place = (name: string): number => regions.find((each) => each.name === name)?.offset ?? 0;
      await withTemporaryFolder(async (folder) => {
        const bad = await readFile(image);
        const at = place('crash-initrd') - place('setup') + 1000;
        bad.writeUInt8(bad.readUInt8(at) ^ 1, at);
        await writeFile(join(folder, 'bad.efi'), bad);
        const result = await bootUnarmed(
          join(folder, 'bad.efi'),
          'saveoops: E03 not armed: part 2 of the payload is damaged',
          'efi=debug',
        );
        check(result, () => {
          expect(result.serial).toContain('efi: EFI v2');
          plain.ram = ramOf(result);
          plain.reserved = reservedByFirmware(result);
        });
      });
    },
    limit,
  );

  // The stub has switched to 5-level paging by then, and firmware is gone. The kernel leaves the screen alone.
  test(
    'goes back to the kernel that its EFI stub had prepared when it finds out late',
    async () => {
      const message = 'saveoops: E07 not armed: mem_encrypt=on is not supported';
      const words = 'mem_encrypt=on video=efifb:off efi=debug';
      const { options, seen } = screenAtReset(lastRow);
      const result = await bootUnarmed(await composedImage(saving), message, words, {
        ...options,
        extra: [...(options.extra ?? []), '-cpu', 'max'],
      });
      check(result, () => {
        expect(seen()).toBe(asReadByVgaBios(message));
        expect(result.serial).toContain('efi: EFI v2');
        // It has the RAM of the crash region back in both maps, but for the page of the status node.
        expect(plain.ram - ramOf(result)).toBeLessThan(64);
        expect(reservedByFirmware(result) - plain.reserved).toBe(0x1000);
      });
    },
    limit,
  );
});

thorough(
  'saveoops test --loader firmware starts the composed image, with the initrds of the payload',
  async () => {
    const dir = await payload({ flavour: 'cloud-amd64', initrds: [await stateGuest()], name: 'efi-loader' });
    await withTemporaryFolder(async (keep) => {
      let out = '';
      const io = { out: (text: string) => (out += text), progress: () => undefined };
      const code = await runTest({ dir, loader: 'firmware', keep }, io);
      expect([code, code === 0 ? '' : out]).toEqual([0, '']);
      expect(await readFile(join(keep, 'recovered.log'), 'utf8')).toMatch(
        /RAMDISK: [^]*efi: EFI v2|efi: EFI v2[^]*RAMDISK: /,
      );
    });
  },
  limit,
);
