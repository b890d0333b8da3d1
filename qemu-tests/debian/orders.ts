/** What a boot of the installed Debian is told to do, in the shell that has logged in (system.ts). */
import { cache } from '../harness/folders.js';
import { printBlock } from '../harness/guest.js';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { armedImage } from './armed.js';

/** Until systemd has nothing left to start: the boot counts as good, and its messages do not come between ours. */
export const settled = 'systemctl is-system-running --wait >/dev/null\n';

/** Whether this boot is armed, by the system's own account: first line "armed" or why not. */
export const status = printBlock('status', 'saveoops status');

export const powerOff = 'systemctl poweroff\n';
export const reboot = 'systemctl reboot\n';
export const crash = 'echo c >/proc/sysrq-trigger\n';

/** scripts/test-debian.sh has built the package. */
export async function installedDebian(): Promise<string> {
  const folder = join(cache, 'debian', 'package');
  const [deb] = readdirSync(folder).filter((name) => name.endsWith('.deb'));
  if (deb === undefined) throw new Error(`no package in ${folder}: npm run test:debian makes it`);
  return await armedImage(join(folder, deb));
}
