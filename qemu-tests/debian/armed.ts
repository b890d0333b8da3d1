/**
 * The installed Debian with the package saveoops, as an administrator sets it up: dpkg -i, two lines in
 * /etc/saveoops.yaml. The payload is built by the hook of the initramfs generator, inside the guest.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { serialLines } from '../../src/machine/serial-text.js';
import { cache, digestOf, makeOnce } from '../harness/folders.js';
import { debianImage, rootWords } from './image.js';
import { DebianSystem } from './system.js';

const installing = `cd /root
tar -xf /dev/disk/by-id/ata-QEMU_HARDDISK_package
dpkg -i saveoops_*.deb || echo 'dpkg failed'
cat >>/etc/saveoops.yaml <<END
boot-config: /boot/extlinux/extlinux.conf
append: ${rootWords}
save: boot
END
update-initramfs -u
extlinux_default=$(grep -h ^DEFAULT /boot/saveoops/syslinux-saveoops.cfg)
echo "boots: $extlinux_default"
systemctl poweroff
`;

/**
 * The disk image, under .cache/debian; made once for each package: some minutes.
 * @param deb path of saveoops_VERSION_amd64.deb
 */
export async function armedImage(deb: string): Promise<string> {
  const base = await debianImage();
  const key = digestOf(basename(base), readFileSync(deb), installing);
  return await makeOnce(join(cache, 'debian', `armed-${key}.img`), async (image) => {
    const system = new DebianSystem(base);
    try {
      const archive = `${system.image}.tar`;
      execFileSync('tar', ['-cf', archive, '-C', dirname(deb), basename(deb)]);
      const result = await system.boot({
        orders: installing,
        timeout: 1800,
        extra: [
          ...['-drive', `if=none,id=deb,format=raw,snapshot=on,file=${archive}`],
          ...['-device', 'ide-hd,drive=deb,bus=ide.1,serial=package'],
        ],
      });
      const lines = serialLines(result.serial);
      if (!lines.some((line) => line.startsWith('boots: DEFAULT saveoops-6'))) {
        throw new Error(['failed: the hook has armed nothing', ...lines.slice(-60)].join('\n'));
      }
      execFileSync('cp', ['--sparse=always', '--reflink=auto', system.image, image]);
    } finally {
      system.remove();
    }
  });
}
