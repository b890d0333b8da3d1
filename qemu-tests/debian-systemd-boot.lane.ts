/**
 * The real test, a machine that starts by UEFI and systemd-boot: `npm run test:debian`, not part of `npm test`. One machine's life, as
 * in debian-grub.lane.ts: a Debian 13 as its packages install it, with /boot in the root file system and kernel-install's entries on the ESP, gets the
 * package, is armed, dies three times in a row, starts its plain kernel for that, tells of what it died, gets a newer kernel, starts
 * that armed, and loses the package. What was typed and printed is kept in .cache/debian/systemd-boot.txt.
 */
import { appendFileSync, readdirSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { expect, test } from '@jest/globals';
import { debianImage } from './debian/image.js';
import { armed, builtPackage, crash, powerOff, settled, typed } from './debian/orders.js';
import { block, DebianSystem, unpack, type DebianBoot } from './debian/system.js';
import { cache } from './harness/folders.js';
import { printBlock } from './harness/guest.js';

const minutes = 60_000;

/** A newer kernel, of the security archive: scripts/debian-packages.sh. */
const upgrade = join(cache, 'debian', 'packages-upgrade');
const release = printBlock('release', 'uname -r');
const token = printBlock('token', 'cat /etc/machine-id');
/** Digests of all that boots, but captures, their count, and the seed that systemd-boot writes anew at each boot. */
const bootFiles = `find /boot ! -path '/boot/efi/saveoops/2*' ! -name in-a-row ! -name random-seed -type f -print0 | sort -z | xargs -0 sha256sum`;
/** apt as a person who says yes, without its lists of packages. */
const apt = 'apt-get -qq -o Dpkg::Use-Pty=0';
const entries = 'ls /boot/efi/loader/entries';

test(
  'systemd-boot: armed by one command, falls back after three deaths, tells of them, has a newer kernel armed, and is as before in the end',
  async () => {
    const system = new DebianSystem(await debianImage('systemd-boot'), 'systemd-boot');
    const transcript = join(cache, 'debian', 'systemd-boot.txt');
    rmSync(transcript, { force: true });
    /** Boots; gives the blocks by name, and how the boot ended. */
    const boot = async (
      orders: readonly string[],
      wanted: readonly string[],
      more: DebianBoot = {},
    ): Promise<Readonly<Record<string, readonly string[]>>> => {
      const run = await system.boot({ orders: orders.join(''), timeout: 3600, ...more });
      const blocks = Object.fromEntries(wanted.map((name) => [name, block(run, name)]));
      const shown = Object.values(blocks).flatMap((lines) =>
        lines[0]?.startsWith('# ') === true ? lines : [],
      );
      appendFileSync(transcript, [...shown, `-- ${run.reasons.join(' ')}`, ''].join('\n'));
      return { ...blocks, reasons: run.reasons };
    };
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
        // Before the boot counts as good.
        const stop = 'systemctl stop saveoops-booted.service\n';
        const died = await boot([stop, ...orders], ['armed', ...asked]);
        expect([death, died['armed'], died['reasons']]).toEqual([death, ['0'], ['guest-reset']]);
        if (death === 'first') expect(died['status']?.[1]).toMatch(/^saveoops: armed/);
      }

      const [kernel = ''] = readdirSync(upgrade);
      const newest = /linux-image-(.*?)_/.exec(kernel)?.[1] ?? '';
      const fallen = await boot(
        [
          ...[settled, armed()],
          typed('fallback', 'saveoops status', 'cat /proc/cmdline', entries),
          ...[typed('report', 'saveoops captures', 'saveoops report last'), unpack],
          typed('upgrade', `${apt} install ./${kernel}`, entries),
          powerOff,
        ],
        ['armed', 'fallback', 'report', 'upgrade'],
        { extra: system.bring([join(upgrade, kernel)]) },
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
          ...[armed(), release, 'systemctl stop saveoops-booted.service\n'],
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
