/**
 * The real test, a machine that starts by UEFI and systemd-boot: `npm run test:debian`, not part of `npm test`. One machine's life, as
 * in debian-grub.lane.ts: a Debian 13 as its packages install it, with /boot in the root file system and kernel-install's entries on the ESP, gets the
 * package, is armed, dies three times in a row, starts its plain kernel for that, tells of what it died, gets a newer kernel, starts
 * that armed, and loses the package. What was typed and printed is kept in .cache/debian/systemd-boot.txt.
 */
import { basename } from 'node:path';
import { expect, test } from '@jest/globals';
import { debianImage } from './debian/image.js';
import {
  apt,
  armed,
  builtPackage,
  crash,
  newerKernel,
  notYetGood,
  powerOff,
  release,
  settled,
  typed,
} from './debian/orders.js';
import { DebianSystem, unpack, type DebianBoot } from './debian/system.js';
import { Transcript, type Blocks } from './debian/transcript.js';
import { printBlock } from './harness/guest.js';

const minutes = 60_000;

const token = printBlock('token', 'cat /etc/machine-id');
/** Digests of all that boots, but captures, their count, and the seed that systemd-boot writes anew at each boot. */
const bootFiles = `find /boot ! -path '/boot/efi/saveoops/2*' ! -name in-a-row ! -name random-seed -type f -print0 | sort -z | xargs -0 sha256sum`;
const entries = 'ls /boot/efi/loader/entries';

test(
  'systemd-boot: armed by one command, falls back after three deaths, tells of them, has a newer kernel armed, and is as before in the end',
  async () => {
    const system = new DebianSystem(await debianImage('systemd-boot'), 'systemd-boot');
    const transcript = new Transcript('systemd-boot');
    const boot = async (
      orders: readonly string[],
      wanted: readonly string[],
      more: DebianBoot = {},
    ): Promise<Blocks> => await transcript.boot(system, orders, wanted, more);
    const deb = builtPackage();
    try {
      const arming = await boot(
        [
          ...[unpack, `${bootFiles} >/root/boot-files\n`],
          typed('install', `${apt} install ./${basename(deb)}`),
          printBlock('untouched', `${bootFiles} | diff /root/boot-files -`),
          typed(
            'arm',
            "echo 'save: boot' >>/etc/saveoops.yaml",
            'saveoops update --enable systemd-boot',
            entries,
          ),
          ...[release, token, powerOff],
        ],
        ['install', 'untouched', 'arm', 'release', 'token'],
        { extra: system.bring([deb]) },
      );
      const [old = ''] = arming['release'] ?? [];
      const [machine = ''] = arming['token'] ?? [];
      expect(arming['untouched']).toEqual([]);
      expect(arming['arm']).toContain(`saveoops: ${old}: armed`);
      expect(arming['arm']?.slice(-2)).toEqual([
        `${machine}-${old}.conf`,
        `${machine}-${old}_999-saveoops.conf`,
      ]);

      // Node takes up to a minute for it on this emulated processor.
      system.quietLogin();
      for (const death of ['first', 'second', 'third']) {
        const asked = death === 'first' ? ['status'] : [];
        const orders = [...asked.map((name) => typed(name, 'saveoops status')), armed(), crash];
        const died = await boot([notYetGood, ...orders], ['armed', ...asked]);
        expect([death, died['armed'], died['reasons']]).toEqual([death, ['0'], ['guest-reset']]);
        if (death === 'first') expect(died['status']?.[1]).toMatch(/^saveoops: armed/);
      }

      const { deb: kernel, release: newest } = newerKernel();
      const fallen = await boot(
        [
          ...[settled, armed()],
          typed('fallback', 'saveoops status', 'cat /proc/cmdline', entries),
          ...[typed('report', 'saveoops captures', 'saveoops report last'), unpack],
          typed('upgrade', `${apt} install ./${basename(kernel)}`, entries),
          powerOff,
        ],
        ['armed', 'fallback', 'report', 'upgrade'],
        { extra: system.bring([kernel]) },
      );
      expect(fallen['armed']).toEqual([]);
      expect(fallen['fallback']?.join('\n')).toContain('panicked 3 times in a row');
      // It has booted, so its entry is gone.
      expect(fallen['fallback']?.slice(-2)).toEqual([
        `${machine}-${old}.conf`,
        `${machine}-${old}_999-saveoops.conf`,
      ]);
      expect(fallen['report']?.join('\n')).toContain('Kernel panic - not syncing: sysrq triggered crash');
      expect(fallen['upgrade']).toContain(`saveoops: ${newest}: armed`);
      expect(fallen['upgrade']?.slice(-4)).toEqual(
        [old, newest].flatMap((each) => [`${machine}-${each}.conf`, `${machine}-${each}_999-saveoops.conf`]),
      );

      const after = await boot(
        [
          ...[armed(), release, notYetGood],
          typed('purge', `${apt} purge saveoops`),
          printBlock(
            'changed',
            `${bootFiles} | diff /root/boot-files - | sed -n 's/^[<>] [^ ]* *//p' | sort -u`,
          ),
          powerOff,
        ],
        ['armed', 'release', 'purge', 'changed'],
      );
      expect([after['armed'], after['release']]).toEqual([['0'], [newest]]);
      // The newer kernel's own, and what kernel-install has made of it.
      const own = [
        ...['System.map', 'config', 'initrd.img', 'vmlinuz'].map((name) => `${name}-${newest}`),
        ...[`efi/${machine}/${newest}/linux`, `efi/${machine}/${newest}/initrd.img-${newest}`],
        `efi/loader/entries/${machine}-${newest}.conf`,
      ];
      expect([...(after['changed'] ?? [])].sort()).toEqual(own.map((name) => `/boot/${name}`).sort());
    } finally {
      system.remove();
    }
  },
  360 * minutes,
);
