/**
 * GRUB itself, by BIOS and by UEFI, on a disk as `saveoops update --enable grub` leaves it: the default, the fallback after captures in a
 * row, a payload that is damaged or withdrawn, grub-reboot. `npm run test:grub`, not part of `npm test`. Debian as its installer
 * leaves it is debian-grub.lane.ts.
 */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { host } from './harness/disks.js';
import { GrubDisk, type GrubFirmware } from './grub/grub-disk.js';

const limit = 900_000;

describe.each<GrubFirmware>(['bios', 'uefi'])('by %s', (firmware) => {
  let disk: GrubDisk;
  beforeAll(async () => {
    disk = await GrubDisk.make(firmware, ['--max-captures-in-a-row', '2']);
  }, limit);
  afterAll(() => {
    disk.delete();
  });

  test(
    'the armed kernel is the default; after two captures in a row the plain one starts, once',
    async () => {
      expect(await disk.boot()).toEqual(['guest: armed', 'guest-reset']);
      expect(disk.captures()).toHaveLength(1);
      expect(disk.environment()).not.toContain('next_entry');
      expect(await disk.boot()).toEqual(['guest: armed', 'guest-reset']);
      const last = disk.captures()[1] ?? '';
      expect(disk.environment()).toBe(
        `saveoops_capture=${last}\nnext_entry=saveoops-kernels>saveoops-fallback\n`,
      );
      expect(await disk.boot()).toEqual([`guest: plain, after ${last}`, 'guest-shutdown']);
      expect(disk.environment()).toBe('saveoops_capture=\nnext_entry=\n');
      expect(await disk.boot()).toEqual(['guest: armed', 'guest-reset']);
    },
    4 * limit,
  );

  test(
    'grub-reboot, and what boots when a payload is damaged, gone, or withdrawn: the plain kernel',
    async () => {
      const plain = ['guest: plain', 'guest-shutdown'];
      const block = disk.copy('/grub/grubenv');
      host('grub-editenv', [block, 'set', 'next_entry=0']);
      disk.replace('/grub/grubenv', readFileSync(block));
      expect(await disk.boot()).toEqual(plain);
      const config = readFileSync(disk.copy('/grub/grub.cfg'), 'latin1');
      const folder = /\/saveoops\/[^/\s]+(?=\/saveoops\.bzimage)/.exec(config)?.[0] ?? '';
      disk.replace(`${folder}/saveoops.bzimage`, Buffer.from('no kernel'));
      expect(await disk.boot()).toEqual(plain);
      disk.remove(`${folder}/saveoops.bzimage`);
      expect(await disk.boot()).toEqual(plain);
      disk.remove(`${folder}/armed.grub`);
      expect(await disk.boot()).toEqual(plain);
    },
    4 * limit,
  );
});
