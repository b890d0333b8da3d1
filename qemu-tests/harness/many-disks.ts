/** One disk on each kind of controller that QEMU has and the capture initramfs has a module for. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeFileSystem, type FileSystem } from './file-systems.js';

export interface ManyDisk {
  readonly name: string;
  readonly type: FileSystem;
  /** QEMU devices; the last one takes the disk. */
  readonly devices: readonly string[];
}

export const manyDisks: readonly ManyDisk[] = [
  { name: 'virtio', type: 'btrfs', devices: ['virtio-blk-pci'] },
  { name: 'ahci', type: 'ext4', devices: ['ich9-ahci,id=ahci', 'ide-hd,bus=ahci.0'] },
  { name: 'nvme', type: 'xfs', devices: ['nvme,serial=1'] },
  { name: 'usb3', type: 'vfat', devices: ['qemu-xhci', 'usb-storage'] },
  { name: 'usb2', type: 'vfat', devices: ['usb-ehci,id=ehci', 'usb-storage,bus=ehci.0'] },
  { name: 'uas', type: 'ext4', devices: ['qemu-xhci,id=x', 'usb-uas,id=uas,bus=x.0', 'scsi-hd,bus=uas.0'] },
  { name: 'sd', type: 'vfat', devices: ['sdhci-pci', 'sd-card'] },
  { name: 'virtio-scsi', type: 'iso9660', devices: ['virtio-scsi-pci,id=vscsi', 'scsi-cd,bus=vscsi.0'] },
  { name: 'megaraid', type: 'vfat', devices: ['megasas,id=mega', 'scsi-hd,bus=mega.0'] },
  { name: 'pvscsi', type: 'vfat', devices: ['pvscsi,id=pv', 'scsi-hd,bus=pv.0'] },
];

/** The images of all, in a temporary folder, each with a file `which` that says "TYPE NAME". */
export class ManyDisks {
  private readonly folder = mkdtempSync(join(tmpdir(), 'svo-'));

  /** QEMU options that plug them in. What the guest writes does not stay. */
  readonly options: readonly string[] = manyDisks.flatMap(({ name, type, devices }) => {
    const image = join(this.folder, `${name}.img`);
    makeFileSystem(type, image, 'which', `${type} ${name}\n`);
    const plugged = devices.map((device, index) =>
      index === devices.length - 1 ? `${device},drive=${name}` : device,
    );
    return [
      ...['-drive', `if=none,id=${name},format=raw,snapshot=on,file=${image}`],
      ...plugged.flatMap((device) => ['-device', device]),
    ];
  });

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}
