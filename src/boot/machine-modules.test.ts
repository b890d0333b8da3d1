/** Which modules reach a disk, on folders like sysfs' own: links as a machine with that hardware has them. */
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { expect, test } from '@jest/globals';
import { withTemporaryFolder } from '../host/files.js';
import { machineModules } from './machine-modules.js';

/** A machine with a SATA disk (ext4 /boot), and LVM on a USB stick. */
function makeMachine(root: string): void {
  const at = (path: string): string => join(root, path);
  const link = (path: string, to: string): void => {
    mkdirSync(dirname(at(path)), { recursive: true });
    mkdirSync(at(to), { recursive: true });
    symlinkSync(relative(dirname(at(path)), at(to)), at(path));
  };
  const device = (path: string, driver?: string): string => {
    mkdirSync(at(`sys/devices/${path}`), { recursive: true });
    if (driver !== undefined) link(`sys/devices/${path}/driver/module`, `sys/module/${driver}`);
    return `sys/devices/${path}`;
  };
  device('pci0000:00/0000:00:1f.2', 'ahci');
  device('pci0000:00/0000:00:1f.2/ata1/host0/target0:0:0/0:0:0:0', 'sd_mod');
  const sda = device('pci0000:00/0000:00:1f.2/ata1/host0/target0:0:0/0:0:0:0/block/sda');
  link('sys/class/block/sda1', `${sda}/sda1`);
  device('pci0000:00/0000:00:14.0', 'xhci_pci');
  device('pci0000:00/0000:00:14.0/usb1/1-1/1-1:1.0', 'usb_storage');
  device('pci0000:00/0000:00:14.0/usb1/1-1/1-1:1.0/host1/target1:0:0/1:0:0:0', 'sd_mod');
  const sdb = device('pci0000:00/0000:00:14.0/usb1/1-1/1-1:1.0/host1/target1:0:0/1:0:0:0/block/sdb');
  link('sys/class/block/sdb', sdb);
  link('sys/class/block/dm-0', 'sys/devices/virtual/block/dm-0');
  link('sys/devices/virtual/block/dm-0/slaves/sdb', sdb);
  for (const [name, node] of [
    ['by-uuid/5a5e', 'sda1'],
    ['by-label/my\\x20data', 'dm-0'],
  ] as const) {
    mkdirSync(dirname(at(`dev/disk/${name}`)), { recursive: true });
    writeFileSync(at(`dev/${node}`), '');
    symlinkSync(`../../${node}`, at(`dev/disk/${name}`));
  }
  mkdirSync(at('proc/self'), { recursive: true });
  const mounts = [
    '26 1 8:2 / / rw,relatime shared:1 - btrfs /dev/sda2 rw',
    `44 26 8:1 / ${at('boot')} rw,relatime shared:30 - ext4 /dev/sda1 rw`,
    '45 26 254:0 / /my\\040data rw - xfs /dev/dm-0 rw',
    '21 26 0:20 / /proc rw,relatime - proc proc rw',
  ];
  writeFileSync(at('proc/self/mountinfo'), `${mounts.join('\n')}\n`);
  mkdirSync(at('boot'));
}

test('the drivers on the way to the disk, and its file system', async () => {
  await withTemporaryFolder(async (root) => {
    makeMachine(root);
    const of = async (save: string | undefined): Promise<readonly string[]> =>
      await machineModules({ root, boot: join(root, 'boot'), save });
    expect(await of('boot')).toEqual(['ahci', 'ext4', 'sd_mod']);
    expect(await of('UUID=5a5e:/crash')).toEqual(['ahci', 'ext4', 'sd_mod']);
    expect(await of('LABEL=my\\x20data')).toEqual(['sd_mod', 'usb_storage', 'xfs', 'xhci_pci']);
    for (const save of [undefined, 'none', 'UUID=gone', 'PARTLABEL=data']) expect(await of(save)).toEqual([]);
  });
});
