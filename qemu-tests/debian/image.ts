/**
 * A disk with a minimal Debian 13 as its own packages install it, with one of its boot loaders: ext4 root, swap, and for
 * EXTLINUX and GRUB on BIOS an ext4 /boot; on UEFI the EFI system partition, and /boot in the root file system. The host
 * makes the file systems and unpacks the packages; root configures them in a chroot there. A guest, Debian 12's kernel with
 * a busybox script, installs the boot loader (no loop device), and without root rights does all that dpkg does, in tens of minutes.
 * scripts/debian-packages.sh has fetched the packages.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import {
  closeSync,
  copyFileSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { syslinuxFiles } from '../../src/image/requirements.js';
import { runScenario } from '../../src/machine/scenario.js';
import { serialLines } from '../../src/machine/serial-text.js';
import { cache, digestOf, makeOnce } from '../harness/folders.js';
import { guestInitramfs, type GuestFile } from '../harness/guest.js';
import { modulesOf } from '../harness/kernel-modules.js';
import { stockKernel } from '../harness/payloads.js';

const MiB = 1 << 20;
const sector = 512;

export type DebianLoader = 'extlinux' | 'grub-pc' | 'grub-efi' | 'grub-secure' | 'systemd-boot';

/** Whether UEFI starts it: then /boot is in the root file system, and the EFI system partition is /boot/efi. */
export const startsByUefi = (loader: DebianLoader): boolean => loader !== 'extlinux' && loader !== 'grub-pc';

/** Places in MiB; where UEFI starts it the first one is the EFI system partition. The gap in front holds the partition table. */
export const partitions = {
  boot: { start: 1, size: 767, type: 0x83 },
  root: { start: 768, size: 2304, type: 0x83 },
  swap: { start: 3072, size: 1024, type: 0x82 },
} as const;
/** Behind the last partition is room for a GPT's second table. */
const diskSize = 4097 * MiB;

/** Where /boot is. */
export const bootPlace: Readonly<
  Record<DebianLoader, { readonly partition: 'boot' | 'root'; readonly folder: string }>
> = {
  extlinux: { partition: 'boot', folder: '' },
  'grub-pc': { partition: 'boot', folder: '' },
  'grub-efi': { partition: 'root', folder: 'boot/' },
  'grub-secure': { partition: 'root', folder: 'boot/' },
  'systemd-boot': { partition: 'root', folder: 'boot/' },
};

/** Fixed, so that the boot configuration can name them before they exist. */
export const uuids = {
  boot: '5a5e0095-0000-4000-8000-00000000b007',
  root: '5a5e0095-0000-4000-8000-000000000007',
  swap: '5a5e0095-0000-4000-8000-0000000005a9',
  /** Of a FAT, as blkid prints it. */
  esp: '5A5E-0E5F',
} as const;

const consoleWords = 'console=tty0 console=ttyS0,115200';

/** On the kernel's command line in every entry of the boot menu. */
export const rootWords = `root=UUID=${uuids.root} ro ${consoleWords}`;

const run = (program: string, args: readonly string[]): string =>
  execFileSync(program, args, {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`, LC_ALL: 'C' },
  });

/** Files of the system that no package has. */
const configurationOf = (loader: DebianLoader): Readonly<Record<string, string>> => ({
  'etc/fstab': `UUID=${uuids.root} / ext4 errors=remount-ro 0 1
${startsByUefi(loader) ? `UUID=${uuids.esp} /boot/efi vfat umask=0077 0 1` : `UUID=${uuids.boot} /boot ext4 defaults 0 2`}
UUID=${uuids.swap} none swap sw 0 0
`,
  'etc/hostname': 'debian\n',
  // The drivers of this machine alone: the emulated processor packs and unpacks the initramfs. MODULES=dep would find them, but not in a chroot.
  'etc/initramfs-tools/modules': 'ahci\nsd_mod\next4\n',
  'etc/initramfs-tools/conf.d/small': `MODULES=list\nCOMPRESS=lz4\nRESUME=UUID=${uuids.swap}\n`,
  'etc/systemd/system/serial-getty@ttyS0.service.d/autologin.conf': `[Service]
ExecStart=
ExecStart=-/sbin/agetty --autologin root --noclear --keep-baud 115200 - vt220
`,
  // What a test wants done comes in QEMU's fw_cfg, and is done once a boot by the shell that logs in.
  'root/.bash_profile': `orders=/sys/firmware/qemu_fw_cfg/by_name/opt/saveoops/orders/raw
modprobe -q qemu_fw_cfg
if [ -e $orders ] && mkdir /run/orders 2>/dev/null; then
  dmesg -n 1
  bash $orders
fi
`,
  'usr/sbin/policy-rc.d': '#!/bin/sh\nexit 101\n',
});

const mountingBoot = (loader: DebianLoader): string =>
  startsByUefi(loader)
    ? `mkdir -p /t/boot/efi
mount -t vfat $(findfs UUID=${uuids.esp}) /t/boot/efi`
    : `mount -t ext4 $(findfs UUID=${uuids.boot}) /t/boot`;

/** In the chroot, $1 the disk: the loader as the installer sets it up. GRUB's menu waits a second only. */
const installingLoader: Readonly<Record<DebianLoader, string>> = {
  extlinux: `mkdir -p /boot/extlinux
cp /usr/lib/syslinux/modules/bios/*.c32 /boot/extlinux/
cat >/boot/extlinux/extlinux.conf <<CONF
PROMPT 0
TIMEOUT 30
DEFAULT linux
LABEL linux
  LINUX /vmlinuz-$release
  INITRD /initrd.img-$release
  APPEND ${rootWords}
LABEL kdump
  LINUX /vmlinuz-$release
  INITRD /initrd.img-$release
  APPEND ${rootWords} crashkernel=256M
CONF
extlinux --install /boot/extlinux`,
  'grub-pc': `grub-install $1
set_up_grub`,
  // No variables of firmware in this guest; what is started is the name for removable media.
  'grub-efi': `grub-install --target=x86_64-efi --efi-directory=/boot/efi --no-nvram --force-extra-removable
set_up_grub`,
  // Debian's signed shim and GRUB.
  'grub-secure': `grub-install --target=x86_64-efi --efi-directory=/boot/efi --no-nvram --force-extra-removable --uefi-secure-boot
set_up_grub`,
  // No udev in this guest, which would know the type of the partition.
  'systemd-boot': `export SYSTEMD_RELAX_ESP_CHECKS=1
echo '${rootWords}' >/etc/kernel/cmdline
bootctl install --no-variables --esp-path=/boot/efi
echo 'timeout 1' >/boot/efi/loader/loader.conf
kernel-install add $release /boot/vmlinuz-$release /boot/initrd.img-$release
set_timeouts`,
};

/** An emulated processor beside others takes longer than 90 seconds to find a disk. */
const settingTimeouts = `set_timeouts() {
  mkdir -p /etc/systemd/system.conf.d
  printf '[Manager]\\nDefaultDeviceTimeoutSec=1h\\n' >/etc/systemd/system.conf.d/slow.conf
}`;

/** What udev would have made, by which GRUB names the root file system. */
const settingUpGrub = `set_up_grub() {
  mkdir -p /dev/disk/by-uuid
  ln -sf $(findfs UUID=${uuids.root}) /dev/disk/by-uuid/${uuids.root}
  sed -i 's/^GRUB_CMDLINE_LINUX=.*/GRUB_CMDLINE_LINUX="${consoleWords}"/; s/^GRUB_TIMEOUT=.*/GRUB_TIMEOUT=1/' /etc/default/grub
  echo 'GRUB_TERMINAL="console serial"' >>/etc/default/grub
  set_timeouts
  # A kernel of kdump's is what captures once userspace has loaded it.
  rm -f /etc/default/grub.d/kdump-tools.cfg
  update-grub
}`;

/** In a chroot of the system, /packages beside it: what apt would do. */
const configuring = `set -e
export PATH=/usr/sbin:/usr/bin LC_ALL=C DEBIAN_FRONTEND=noninteractive DEBCONF_NONINTERACTIVE_SEEN=true
chown -R 0:0 /bin/ /boot /etc /lib/ /lib64/ /root /sbin/ /usr /var
cd /packages
ldconfig
# libc6's scripts look the running kernel up, base-passwd's make the users.
dpkg --force-depends --force-unsafe-io --install base-passwd_*.deb
dpkg --force-depends --force-unsafe-io --install base-files_*.deb
echo "step: unpack"
dpkg --force-depends --force-unsafe-io --force-overwrite --unpack *.deb
echo "step: configure"
# The kernel's hooks and a trigger would make the initramfs twice; once takes minutes.
INITRD=No dpkg --force-unsafe-io --configure --pending
update-initramfs -c -k $(ls /lib/modules)
sed -i 's/^root:[^:]*:/root::/' /etc/shadow
`;

/** $1 is the folder of the system, $2 that of the packages: a chroot with its own mounts and processes, which end with it. */
const entering = `set -e
mount -t tmpfs tmpfs "$1/dev"
for device in null zero full random urandom tty; do
  cp -a "/dev/$device" "$1/dev/"
done
ln -s /proc/self/fd "$1/dev/fd"
mount -t proc proc "$1/proc"
mount -t tmpfs tmpfs "$1/run"
mkdir -p "$1/packages"
mount --bind "$2" "$1/packages"
chroot "$1" bash /configure
umount "$1/packages" "$1/run" "$1/proc" "$1/dev"
rmdir "$1/packages"
`;

const configuringThere = `mkdir -p /packages /t/packages
mount -t ext4 -o ro $(findfs LABEL=packages) /packages
mount --bind /packages /t/packages
cat >/t/configure <<'END'
${configuring}END
chroot /t bash /configure
rm /t/configure
umount /t/packages
rmdir /t/packages
`;

/** What the preparing guest does, with a system that is configured already or not; its marker lines tell the host how it went. */
const preparingBy = (loader: DebianLoader, configured: boolean): string => `set -e
trap 'echo "preparing ended with status $?"; poweroff -f' EXIT
for module in $(cat /modules/order); do insmod /modules/$module.ko; done
mkdir -p /t
# Which disk is sda is chance.
root=$(findfs UUID=${uuids.root})
mount -t ext4 $root /t
${mountingBoot(loader)}
mkdir -p /t/dev /t/proc /t/sys /t/run
mount --bind /proc /t/proc
mount --bind /sys /t/sys
mount --bind /dev /t/dev
mount -t tmpfs tmpfs /t/run
${configured ? '' : configuringThere}cat >/t/prepare <<'END'
set -e
export PATH=/usr/sbin:/usr/bin LC_ALL=C DEBIAN_FRONTEND=noninteractive
mkswap -q -U ${uuids.swap} "\${1}3"
release=$(ls /lib/modules)
echo "step: boot loader"
${settingTimeouts}
${settingUpGrub}
${installingLoader[loader]}
rm /usr/sbin/policy-rc.d
END
chroot /t bash /prepare \${root%2}
rm /t/prepare
umount /t/run /t/dev /t/sys /t/proc
umount /t/boot${startsByUefi(loader) ? '/efi' : ''}
umount /t
echo 'the system is installed'
`;

/**
 * The disk image, under .cache/debian, made once. Root configures the packages in a chroot on the host: a minute or two; for
 * others the preparing guest does: tens of minutes. Throws an Error with the last lines of what failed.
 */
export async function debianImage(loader: DebianLoader = 'extlinux'): Promise<string> {
  const folders = ['packages', `packages-${loader}`].map((name) => join(cache, 'debian', name));
  const packages = folders
    .flatMap((folder) => readdirSync(folder).map((name) => join(folder, name)))
    .sort((a, b) => (basename(a) < basename(b) ? -1 : 1));
  const configuration = configurationOf(loader);
  const here = process.getuid?.() === 0;
  const guest = await preparingGuest(loader, here);
  const names = packages.map((path) => basename(path));
  const key = digestOf(JSON.stringify([names, partitions, configuration, rootWords]), readFileSync(guest));
  return await makeOnce(join(cache, 'debian', `${loader}-${key}.img`), async (image) => {
    const work = await mkdtemp(join(tmpdir(), 'svo-'));
    try {
      const tree = join(work, 'root');
      await mkdir(tree);
      // base-files has the links from /bin to /usr/bin, which must be there before the rest.
      const first = packages.filter((path) => basename(path).startsWith('base-files_'));
      for (const path of [...first, ...packages]) run('dpkg-deb', ['-x', path, tree]);
      for (const [path, text] of Object.entries(configuration)) {
        mkdirSync(dirname(join(tree, path)), { recursive: true });
        writeFileSync(join(tree, path), text, { mode: path.startsWith('usr/sbin') ? 0o755 : 0o644 });
      }
      run('rm', ['-rf', join(tree, 'boot')]);
      mkdirSync(join(tree, 'boot'));
      const together = join(work, 'packages');
      await mkdir(together);
      for (const path of packages) copyFileSync(path, join(together, basename(path)));
      if (here) configure(tree, together);
      if (startsByUefi(loader)) makeEfiPartitions(image);
      else {
        writePartitionTable(image);
        const boot = join(work, 'boot');
        run('mv', [join(tree, 'boot'), boot]);
        mkdirSync(join(tree, 'boot'));
        // extlinux reads neither 64-bit block numbers nor checksums of metadata.
        makeFileSystem(image, 'boot', ['-O', '^64bit,^metadata_csum', '-d', boot]);
      }
      makeFileSystem(image, 'root', ['-d', tree]);
      const packed = here ? undefined : join(work, 'packages.img');
      if (packed !== undefined) {
        const options = ['-q', '-t', 'ext4', '-O', '^has_journal', '-L', 'packages', '-d', together];
        run('mke2fs', [...options, packed, '1G']);
      }
      await prepare(image, packed, guest, work);
    } finally {
      await rm(work, { recursive: true, force: true });
    }
  });
}

/** On the host, as root. */
function configure(tree: string, packages: string): void {
  const script = join(tree, 'configure');
  writeFileSync(script, configuring);
  const inside = ['--mount', '--pid', '--fork', 'sh', '-c', entering, 'sh', tree, packages];
  const { status, stdout, stderr } = spawnSync('unshare', inside, { encoding: 'utf8', maxBuffer: 64 * MiB });
  if (status !== 0) {
    const last = `${stdout}\n${stderr}`.split('\n').slice(-60);
    throw new Error(['failed: the packages were not configured', ...last].join('\n'));
  }
  rmSync(script);
}

async function prepare(
  image: string,
  packages: string | undefined,
  guest: string,
  folder: string,
): Promise<void> {
  const result = await runScenario({
    machine: {
      boot: {
        kind: 'kernel',
        kernel: stockKernel('amd64').vmlinuz,
        initrd: guest,
        append: 'console=ttyS0,115200',
      },
      extra: [
        ...['-drive', `if=none,id=system,format=raw,cache=unsafe,file=${image}`],
        ...['-device', 'ide-hd,drive=system,bus=ide.0'],
        ...(packages === undefined
          ? []
          : [
              ...['-drive', `if=none,id=packages,format=raw,snapshot=on,file=${packages}`],
              ...['-device', 'ide-hd,drive=packages,bus=ide.1'],
            ]),
      ],
    },
    folder,
    timeout: 3000,
  });
  const lines = serialLines(result.serial);
  if (lines.includes('the system is installed')) return;
  throw new Error(
    ['lost: Debian was not installed', ...lines.slice(-40), result.qemuMessages, result.reproduce].join('\n'),
  );
}

async function preparingGuest(loader: DebianLoader, configured: boolean): Promise<string> {
  const modules = new Map<string, GuestFile>();
  const efi = startsByUefi(loader) ? ['vfat', 'nls_cp437', 'nls_ascii'] : [];
  for (const name of ['ahci', 'sd_mod', 'crc32c_generic', 'ext4', ...efi]) {
    for (const file of modulesOf('amd64', name)) modules.set(file.path, file);
  }
  const order = join(cache, 'guests', `debian-modules-${loader}`);
  mkdirSync(dirname(order), { recursive: true });
  writeFileSync(order, [...modules.values()].map(({ path }) => basename(path, '.ko')).join('\n'));
  return await guestInitramfs(preparingBy(loader, configured), [
    ...modules.values(),
    { path: 'modules/order', source: order },
  ]);
}

/** Syslinux's MBR and three primary partitions, the first one active. */
function writePartitionTable(path: string): void {
  const mbr = Buffer.alloc(sector);
  mbr.set(readFileSync(syslinuxFiles.mbr));
  Object.values(partitions).forEach(({ start, size, type }, index) => {
    const at = 446 + 16 * index;
    mbr.set([index === 0 ? 0x80 : 0, 0xfe, 0xff, 0xff, type, 0xfe, 0xff, 0xff], at);
    mbr.writeUInt32LE((start * MiB) / sector, at + 8);
    mbr.writeUInt32LE((size * MiB) / sector, at + 12);
  });
  mbr.writeUInt16LE(0xaa55, 510);
  const file = openSync(path, 'w');
  writeSync(file, mbr);
  closeSync(file);
  run('truncate', ['-s', String(diskSize), path]);
}

/** GPT: EFI system partition, root, swap. */
function makeEfiPartitions(path: string): void {
  run('truncate', ['-s', String(diskSize), path]);
  const types = { boot: 'U', root: 'L', swap: 'S' } as const;
  const lines = Object.entries(partitions).map(
    ([name, { start, size }]) =>
      `start=${start}MiB, size=${size}MiB, type=${types[name as keyof typeof types]}`,
  );
  execFileSync('/sbin/sfdisk', ['--quiet', path], { input: ['label: gpt', ...lines, ''].join('\n') });
  const { start, size } = partitions.boot;
  const place = ['--offset', String((start * MiB) / sector), path, String(size * 1024)];
  run('mkfs.fat', ['-F', '32', '-i', uuids.esp.replace('-', ''), ...place]);
}

function makeFileSystem(image: string, name: 'boot' | 'root', options: readonly string[]): void {
  const { start, size } = partitions[name];
  run('mke2fs', [
    ...['-q', '-F', '-t', 'ext4', '-U', uuids[name], '-L', `debian-${name}`],
    ...['-E', `offset=${start * MiB},lazy_itable_init=1,lazy_journal_init=1`],
    ...options,
    ...[image, `${size}M`],
  ]);
}
