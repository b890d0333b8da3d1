/**
 * The real test, machines that start by GRUB, by BIOS (with a /boot partition) and by UEFI (without one): `npm run test:debian`, not
 * part of `npm test`. A Debian 13 as its installer leaves it, armed by `saveoops update --enable grub`.
 */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { bootFiles } from './debian/armed.js';
import { freshSystemForEachTest } from './debian/fresh-system.js';
import { armed, crash, powerOff, reboot, settled, status } from './debian/orders.js';
import { block, unpack } from './debian/system.js';
import { cache } from './harness/folders.js';
import { printBlock } from './harness/guest.js';

const minutes = 60_000;

/** A newer kernel, of the security archive: scripts/debian-packages.sh. */
const upgrade = join(cache, 'debian', 'packages-upgrade');
const release = printBlock('release', 'uname -r');

describe.each(['grub-pc', 'grub-efi'] as const)('an installed Debian with %s', (loader) => {
  const system = freshSystemForEachTest(loader);

  test(
    'that dies at the login prompt restarts by itself and tells of what',
    async () => {
      const died = await system().boot({ orders: settled + status + crash, timeout: 1800 });
      expect(died.reasons).toEqual(['guest-reset']);
      expect(block(died, 'status')[0]).toMatch(/^saveoops: armed/);
      const asked = await system().boot({
        orders: [settled, armed(), printBlock('report', 'saveoops report last'), powerOff].join(''),
        timeout: 1800,
      });
      expect(block(asked, 'armed')).toEqual(['0']);
      expect(block(asked, 'report').join('\n')).toContain(
        'Kernel panic - not syncing: sysrq triggered crash',
      );
    },
    90 * minutes,
  );

  test(
    'that dies three times in a row starts the plain kernel once, then the armed one again',
    async () => {
      for (let death = 1; death <= 3; death++) {
        const died = await system().boot({
          // Before the boot counts as good.
          orders: `systemctl stop saveoops-booted.service\n${armed()}${crash}`,
          timeout: 1800,
        });
        expect([death, block(died, 'armed'), died.reasons]).toEqual([death, ['0'], ['guest-reset']]);
      }
      const fallen = await system().boot({
        orders: [settled, armed(), status, printBlock('environment', 'grub-editenv list'), powerOff].join(''),
        timeout: 1800,
      });
      expect(block(fallen, 'armed')).toEqual([]);
      expect(block(fallen, 'status').join('\n')).toContain('panicked 3 times in a row');
      expect(block(fallen, 'environment')).toEqual(['saveoops_capture=', 'next_entry=']);
      const after = await system().boot({ orders: settled + armed() + powerOff, timeout: 1800 });
      expect(block(after, 'armed')).toEqual(['0']);
    },
    150 * minutes,
  );

  test(
    'whose kernel is upgraded starts the new one armed, and has the old one',
    async () => {
      const [deb = ''] = readdirSync(upgrade);
      const newest = /linux-image-(.*?)_/.exec(deb)?.[1] ?? '';
      const upgraded = await system().boot({
        orders: [
          ...[settled, release, unpack],
          printBlock('dpkg', `dpkg -i ${deb} 2>&1 | grep -E '^(saveoops|dpkg)'`),
          reboot,
        ].join(''),
        extra: system().bring([join(upgrade, deb)]),
        timeout: 3600,
      });
      expect(block(upgraded, 'dpkg')).toEqual([`saveoops: ${newest}: armed`]);
      const [old = ''] = block(upgraded, 'release');
      const again = await system().boot({
        // By its number, as behind 10_linux's entries ours change none.
        orders: [settled, armed(), release, "grub-reboot '1>2'\n", reboot].join(''),
        timeout: 1800,
      });
      expect([block(again, 'armed'), block(again, 'release')]).toEqual([['0'], [newest]]);
      const back = await system().boot({ orders: settled + armed() + release + powerOff, timeout: 1800 });
      expect([block(back, 'armed'), block(back, 'release')]).toEqual([[], [old]]);
    },
    150 * minutes,
  );

  test(
    'that the package leaves has the boot files of before',
    async () => {
      const run = await system().boot({
        orders: [
          settled,
          printBlock('purge', 'dpkg --purge saveoops 2>&1 | tail -n 3'),
          printBlock('files', `${bootFiles} | diff /root/boot-files - && ls -A /boot/saveoops`),
          powerOff,
        ].join(''),
        timeout: 1800,
      });
      expect(block(run, 'files')).toEqual([]);
    },
    90 * minutes,
  );
});
