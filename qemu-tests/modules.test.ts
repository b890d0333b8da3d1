/**
 * The crash kernel finds the disks of a machine that has one on each kind of controller, with the modules that the capture
 * initramfs carries, and reads the file system on each. The oracle is what the host has written there.
 */
import { afterAll, describe, expect, test } from '@jest/globals';
import { crashingGuest } from './dump-at.js';
import { bootPayload, check, guestBlock } from './harness/boot.js';
import { captureRunning } from './harness/capture-guest.js';
import { fileSystems } from './harness/file-systems.js';
import { printBlock } from './harness/guest.js';
import { manyDisks, ManyDisks } from './harness/many-disks.js';
import { payload } from './harness/payloads.js';

const disks = new ManyDisks();
afterAll(() => {
  disks.remove();
});

const script = `
mkdir /mnt
${printBlock('storage', 'load-modules storage; echo "status $?"')}
${printBlock('types', `for type in ${fileSystems.join(' ')} nonsense; do load-modules fs $type; echo "$type $?"; done`)}
look() {
  for disk in /sys/class/block/*; do
    disk=/dev/\${disk##*/}
    # FAT is tried last: it takes some others for its own.
    for type in ext4 xfs btrfs iso9660 vfat; do
      mount -t $type -o ro $disk /mnt 2>/dev/null || continue
      [ ! -e /mnt/which ] || cat /mnt/which
      umount /mnt
      break
    done
  done
}
${printBlock('found', 'look')}
${printBlock('watchdog', 'load-modules watchdog; echo "status $?"; cat /sys/class/watchdog/*/identity')}
${printBlock('rest', 'ls -A /run; cat /proc/uptime')}
`;

describe('kernel modules of the capture initramfs', () => {
  test('every disk of the machine is found, whatever its controller and file system', async () => {
    const dir = await payload({
      flavour: 'amd64',
      initrds: [await crashingGuest()],
      append: 'sysrq_always_enabled',
      crashInitrd: await captureRunning(script, 'amd64'),
      name: 'modules',
    });
    const extra = [...disks.options, '-device', 'i6300esb'];
    const run = await bootPayload(dir, { endAt: [], extra, timeout: 240 });
    check(run, () => {
      const storage = guestBlock(run, 'storage');
      expect(storage).toEqual([expect.stringMatching(/^saveoops: disks: /), 'status 0']);
      // The disk that it booted from is there as well.
      expect(storage[0]?.split(' ').length).toBeGreaterThanOrEqual(2 + manyDisks.length + 1);
      expect(guestBlock(run, 'types')).toEqual([...fileSystems.map((type) => `${type} 0`), 'nonsense 1']);
      expect([...guestBlock(run, 'found')].sort()).toEqual(
        manyDisks.map(({ name, type }) => `${type} ${name}`).sort(),
      );
      expect([...guestBlock(run, 'watchdog')].sort()).toEqual(['i6300ESB timer', 'iTCO_wdt', 'status 0']);
      // Modules are unpacked only while they are loaded.
      expect(guestBlock(run, 'rest')).toEqual([expect.stringMatching(/^[0-9.]+ [0-9.]+$/)]);
    });
  }, 300_000);
});
