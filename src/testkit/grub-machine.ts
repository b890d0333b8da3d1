/**
 * A machine with GRUB for tests, in a namespace of its own (no root rights): Debian's own grub-mkconfig and /etc/grub.d of this host, on
 * folders in place of /boot, /etc/grub.d and /etc/default. Only what grub-probe would tell of disks is a table here: the host
 * that runs tests need not have any that it may look at.
 */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { CommandResult } from './command-line.js';

/** What grub-probe says of a device, by target; the second one of /boot where that is another. */
export interface ProbedDisk {
  readonly root: Readonly<Record<string, string>>;
  readonly boot?: Readonly<Record<string, string>>;
}

export const bootUuid = '5a5e0095-0000-4000-8000-00000000b007';
const plain = { fs: 'ext2', partmap: 'gpt', partuuid: '5a5e-02', abstraction: '', cryptodisk_uuid: '' };
const bootPartition = {
  ...plain,
  device: '/dev/vda1',
  fs_uuid: bootUuid,
  compatibility_hint: 'hd0,gpt1',
  hints_string: '--hint-bios=hd0,gpt1',
};
const rootPartition = {
  ...plain,
  device: '/dev/vda2',
  fs_uuid: '5a5e0095-0000-4000-8000-000000000007',
  compatibility_hint: 'hd0,gpt2',
  hints_string: '--hint-bios=hd0,gpt2',
};
const encrypted = {
  ...rootPartition,
  device: '/dev/mapper/vg-root',
  abstraction: 'lvm cryptodisk luks',
  cryptodisk_uuid: '00112233445566778899aabbccddeeff',
  compatibility_hint: '',
  hints_string: '--hint=lvmid/a/b',
};

export const probedDisks = {
  '/boot of its own': { root: rootPartition, boot: bootPartition },
  'no /boot of its own': { root: rootPartition },
  'root on LVM, /boot of its own': {
    root: { ...encrypted, cryptodisk_uuid: '', abstraction: 'lvm' },
    boot: bootPartition,
  },
  'all of it on LVM in LUKS': { root: encrypted },
  btrfs: { root: { ...rootPartition, fs: 'btrfs' } },
} as const satisfies Readonly<Record<string, ProbedDisk>>;

/** Whether namespaces may be made here. */
export const canRunGrub =
  spawnSync('unshare', ['--user', '--map-root-user', '--mount', 'sh', '-c', 'mount -t tmpfs none /mnt'])
    .status === 0;

export class GrubMachine {
  private readonly folder = mkdtempSync(join(tmpdir(), 'saveoops-grub-'));
  readonly boot = join(this.folder, 'boot');
  readonly scripts = join(this.folder, 'grub.d');

  /** @param defaults of /etc/default/grub */
  constructor(
    disk: ProbedDisk = probedDisks['/boot of its own'],
    defaults = 'GRUB_DEFAULT=0\nGRUB_CMDLINE_LINUX_DEFAULT="quiet"\nGRUB_CMDLINE_LINUX=""\n',
  ) {
    mkdirSync(join(this.boot, 'grub'), { recursive: true });
    // Others ask disks for other systems and pictures.
    for (const name of ['00_header', '10_linux', '41_custom']) {
      cpSync(join('/etc/grub.d', name), join(this.scripts, name), { recursive: true });
    }
    mkdirSync(join(this.folder, 'default'));
    this.setDefaults(defaults);
    const answers = (device: Readonly<Record<string, string>>): string =>
      Object.entries(device)
        .map(
          ([target, answer]) =>
            `  ${target}) printf '%s' '${target === 'abstraction' ? answer.replaceAll(' ', '\n') : answer}' ;;\n`,
        )
        .join('');
    const { root, boot = root } = disk;
    const probe = `#!/bin/sh
device=${root['device'] ?? ''}
while [ $# -gt 0 ]; do
  case $1 in
    --target=*) target=\${1#*=} ;;
    -t | --target) shift; target=$1 ;;
    -d | --device) shift; device=$1 ;;
    /boot*) device=${boot['device'] ?? ''} ;;
  esac
  shift
done
if [ "$device" = ${boot['device'] ?? ''} ]; then
  case $target in
${answers(boot)}  *) exit 1 ;;
  esac
else
  case $target in
${answers(root)}  *) exit 1 ;;
  esac
fi
echo
`;
    writeFileSync(join(this.folder, 'grub-probe'), probe, { mode: 0o755 });
  }

  setDefaults(text: string): void {
    writeFileSync(join(this.folder, 'default', 'grub'), `GRUB_DISTRIBUTOR=Debian\n${text}`);
  }

  get config(): string {
    return readFileSync(join(this.boot, 'grub', 'grub.cfg'), 'latin1');
  }

  /** Runs a program on this machine. */
  run(program: string, ...args: readonly string[]): CommandResult {
    const script = `set -e
mount --bind "$0/boot" /boot
mount --bind "$0/grub.d" /etc/grub.d
mount --bind "$0/default" /etc/default
mount --bind "$0/grub-probe" /usr/sbin/grub-probe
exec "$@"`;
    const namespace = ['--user', '--map-root-user', '--mount', 'sh', '-c', script, this.folder];
    const { status, stdout, stderr } = spawnSync('unshare', [...namespace, program, ...args], {
      encoding: 'utf8',
      maxBuffer: 1 << 28,
      env: { ...process.env, PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`, LC_ALL: 'C' },
    });
    return { status, stdout, stderr };
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}
