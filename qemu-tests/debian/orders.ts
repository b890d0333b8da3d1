/** What a boot of the installed Debian is told to do, in the shell that has logged in (system.ts). */
import { shellWord } from '../../src/host/shell-word.js';
import { cache } from '../harness/folders.js';
import { printBlock } from '../harness/guest.js';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { armedImage } from './armed.js';

/** Until systemd has nothing left to start: the boot counts as good, and its messages do not come between ours. */
export const settled = 'systemctl is-system-running --wait >/dev/null\n';

/** Whether this boot is armed, as `saveoops status` tells. */
export const status = printBlock('status', 'saveoops status');

/**
 * The same as the kernel shows it, without the minute that Node takes here: the entry stub's status node (docs/protocol.md),
 * whose second number is 0 when armed. No line: not started by the entry stub.
 */
export const armed = (name = 'armed'): string =>
  printBlock(
    name,
    `for node in /sys/kernel/boot_params/setup_data/*; do
  [ "$(cat $node/type 2>/dev/null)" != 0x53415645 ] || od -A n -t u4 -j 4 -N 4 $node/data | tr -d ' '
done`,
  );

export const release = printBlock('release', 'uname -r');

/** apt as a person who says yes, without its lists of packages. */
export const apt = 'apt-get -qq -o Dpkg::Use-Pty=0';

/** The boot does not come to count as good. */
export const notYetGood = 'systemctl stop saveoops-booted.service\n';

export const powerOff = 'systemctl poweroff\n';
export const reboot = 'systemctl reboot\n';
/** stty waits until the terminal has sent what was written before: the kernel's messages would overtake it. */
export const crash = 'stty onlcr </dev/ttyS0\necho c >/proc/sysrq-trigger\n';

/** Commands as a person types them, each shown before what it prints; not to a terminal, for which progress is drawn. */
export const typed = (name: string, ...commands: readonly string[]): string =>
  printBlock(
    name,
    commands.map((command) => `echo ${shellWord(`# ${command}`)}\n{ ${command}\n} 2>&1 | cat`).join('\n'),
  );

/** Path of the package; scripts/test-debian.sh has built it. */
export function builtPackage(): string {
  const folder = join(cache, 'debian', 'package');
  const [deb] = readdirSync(folder).filter((name) => name.endsWith('.deb'));
  if (deb === undefined) throw new Error(`no package in ${folder}: npm run test:debian makes it`);
  return join(folder, deb);
}

/** A newer kernel, of the security archive (scripts/debian-packages.sh): its package's path, and `uname -r` of it. */
export function newerKernel(): { readonly deb: string; readonly release: string } {
  const folder = join(cache, 'debian', 'packages-upgrade');
  const [name = ''] = readdirSync(folder);
  return { deb: join(folder, name), release: /linux-image-(.*?)_/.exec(name)?.[1] ?? '' };
}

export async function installedDebian(): Promise<string> {
  return await armedImage(builtPackage());
}
