/**
 * The real test, machines that start by GRUB, by BIOS (with a /boot partition) and by UEFI (without one): `npm run test:debian`, not
 * part of `npm test`. One machine's life: a Debian 13 as its packages install it gets the package, is armed, dies three times
 * in a row, starts its plain kernel for that, tells of what it died, gets a newer kernel, starts that armed, and loses the package. What was typed and printed is
 * kept in .cache/debian/LOADER.txt: docs/distributors.md quotes it.
 */
import { appendFileSync, readdirSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { debianImage, type DebianLoader } from './debian/image.js';
import { armed, builtPackage, crash, powerOff, settled, typed } from './debian/orders.js';
import { block, DebianSystem, unpack, type DebianBoot } from './debian/system.js';
import { cache } from './harness/folders.js';
import { printBlock } from './harness/guest.js';

const minutes = 60_000;

/** A newer kernel, of the security archive: scripts/debian-packages.sh. */
const upgrade = join(cache, 'debian', 'packages-upgrade');
const release = printBlock('release', 'uname -r');
/** Digests of all that boots, but captures and their count. */
const bootFiles = `find /boot /etc/grub.d /etc/default ! -path '/boot/saveoops/2*' ! -name in-a-row '(' -type f -print0 -o -type l -printf '%p\\0' ')' | sort -z | xargs -0 sha256sum`;
/** apt as a person who says yes, without its lists of packages. */
const apt = 'apt-get -qq -o Dpkg::Use-Pty=0';

describe.each<DebianLoader>(['grub-pc', 'grub-efi'])('an installed Debian with %s', (loader) => {
  test(
    'is armed by one command, falls back after three deaths, tells of them, has a newer kernel armed, and is as before in the end',
    async () => {
      const system = new DebianSystem(await debianImage(loader), loader);
      const transcript = join(cache, 'debian', `${loader}.txt`);
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
              'saveoops update --enable grub',
              'grub-editenv list',
            ),
            ...[release, powerOff],
          ],
          ['install', 'untouched', 'arm', 'release'],
          { extra: system.bring([deb]) },
        );
        const [old = ''] = arming['release'] ?? [];
        expect(arming['untouched']).toEqual([]);
        expect(arming['arm']).toContain(`saveoops: ${old}: armed`);

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
            typed('fallback', 'saveoops status', 'cat /proc/cmdline', 'grub-editenv list'),
            ...[typed('report', 'saveoops captures', 'saveoops report last'), unpack],
            typed('upgrade', `${apt} install ./${kernel}`, 'ls /boot /boot/saveoops'),
            powerOff,
          ],
          ['armed', 'fallback', 'report', 'upgrade'],
          { extra: system.bring([join(upgrade, kernel)]) },
        );
        expect(fallen['armed']).toEqual([]);
        expect(fallen['fallback']?.join('\n')).toContain('panicked 3 times in a row');
        expect(fallen['fallback']?.slice(-2)).toEqual(['saveoops_capture=', 'next_entry=']);
        expect(fallen['report']?.join('\n')).toContain('Kernel panic - not syncing: sysrq triggered crash');
        expect(fallen['upgrade']).toContain(`saveoops: ${newest}: armed`);

        const after = await boot(
          [
            ...[armed(), release, 'systemctl stop saveoops-booted.service\n'],
            typed('entries', "grep -o \"menuentry '[^']*'\" /boot/grub/grub.cfg", 'ls /boot/saveoops/*'),
            typed('purge', `${apt} purge saveoops`),
            `${bootFiles} >/root/after\n`,
            printBlock(
              'changed',
              `diff /root/boot-files /root/after | sed -n 's/^[<>] [^ ]* *//p' | sort -u`,
            ),
            printBlock('update-grub', `update-grub 2>/dev/null\n${bootFiles} | diff /root/after -`),
            powerOff,
          ],
          ['armed', 'release', 'entries', 'purge', 'changed', 'update-grub'],
        );
        expect([after['armed'], after['release']]).toEqual([['0'], [newest]]);
        expect(after['entries']?.join('\n')).toContain(`with Linux ${old}, armed`);
        // The newer kernel's own, and the menu as update-grub writes it.
        const own = [
          `System.map-${newest}`,
          `config-${newest}`,
          'grub/grub.cfg',
          `initrd.img-${newest}`,
          `vmlinuz-${newest}`,
        ];
        expect([...(after['changed'] ?? [])].sort()).toEqual(own.map((name) => `/boot/${name}`).sort());
        expect(after['update-grub']).toEqual([]);
      } finally {
        system.remove();
      }
    },
    360 * minutes,
  );
});
