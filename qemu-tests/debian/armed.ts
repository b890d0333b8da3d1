/**
 * The installed Debian with the package saveoops, as an administrator sets it up: dpkg -i, three lines in
 * /etc/saveoops.yaml. The payload is built by the hook of the initramfs generator, inside the guest.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { serialLines } from '../../src/machine/serial-text.js';
import { cache, digestOf, makeOnce } from '../harness/folders.js';
import { debianImage, rootWords } from './image.js';
import { DebianSystem, unpack } from './system.js';

/** Said when all went well. */
const done = 'the system is armed';

const installing = `${unpack}dpkg -i saveoops_*.deb || echo 'dpkg failed'
cat >>/etc/saveoops.yaml <<END
boot-config: /boot/extlinux/extlinux.conf
append: ${rootWords}
save: boot
END
update-initramfs -u
grep -q '^DEFAULT saveoops-6' /boot/saveoops/syslinux-saveoops.cfg && echo '${done}'
systemctl poweroff
`;

/**
 * The disk image, under .cache/debian; made once for each package: some minutes.
 * @param deb path of saveoops_VERSION_amd64.deb
 */
export async function armedImage(deb: string): Promise<string> {
  const base = await debianImage('extlinux');
  const key = digestOf(basename(base), readFileSync(deb), installing);
  return await makeOnce(join(cache, 'debian', `armed-${key}.img`), async (image) => {
    const system = new DebianSystem(base, 'extlinux');
    try {
      const result = await system.boot({ orders: installing, timeout: 3000, extra: system.bring([deb]) });
      const lines = serialLines(result.serial);
      if (!lines.includes(done)) {
        throw new Error(['failed: the package has armed nothing', ...lines.slice(-60)].join('\n'));
      }
      execFileSync('cp', ['--sparse=always', '--reflink=auto', system.image, image]);
    } finally {
      system.remove();
    }
  });
}
