/**
 * A disk that starts by GRUB: a /boot partition (ext4) as `saveoops update --enable grub` leaves it on a machine with Debian's own
 * grub-mkconfig, with GRUB's files as grub-install puts them there. No root rights: no grub-install, which wants a disk that it
 * may look at. (qemu-tests/debian has a disk that grub-install has written.)
 */
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runScenario } from '../../src/machine/scenario.js';
import { serialLines } from '../../src/machine/serial-text.js';
import { bootUuid, GrubMachine, probedDisks } from '../../src/testkit/grub-machine.js';
import { host } from '../harness/disks.js';
import { guestInitramfs } from '../harness/guest.js';
import { stockKernel } from '../harness/payloads.js';
import { withShutdownReasons } from '../harness/shutdown-events.js';

const MiB = 1 << 20;
const sector = 512;
const cli = fileURLToPath(new URL('../../src/cli.js', import.meta.url));
const grubFiles = '/usr/lib/grub';

/** Places in MiB. */
const esp = { start: 1, size: 40 } as const;
const boot = { start: 41, size: 400 } as const;
const diskSize = (boot.start + boot.size + 1) * MiB;

export type GrubFirmware = 'bios' | 'uefi';

/** Tells who has started it; then panics when it is armed, else switches the machine off. */
const guest = `
armed=plain
for node in /sys/kernel/boot_params/setup_data/*; do
  [ "$(cat $node/type 2>/dev/null)" != 0x53415645 ] || armed=armed
done
for word in $(cat /proc/cmdline); do
  case $word in saveoops.fallback=*) armed="$armed, after \${word#*=}" ;; esac
done
echo "guest: $armed"
[ "$armed" != armed ] || echo c >/proc/sysrq-trigger
poweroff -f
`;

export class GrubDisk {
  private readonly folder = mkdtempSync(join(tmpdir(), 'svo-'));
  readonly image = join(this.folder, 'disk.img');

  private constructor(private readonly firmware: GrubFirmware) {}

  /** One that has been armed, with captures on its /boot. @param args of saveoops update */
  static async make(firmware: GrubFirmware, args: readonly string[]): Promise<GrubDisk> {
    const disk = new GrubDisk(firmware);
    makeImage(disk.image, firmware, await guestInitramfs(guest), args);
    return disk;
  }

  /** Starts the machine; what its guests have said, and how it ended. `extra`: options of QEMU. */
  async boot(...extra: readonly string[]): Promise<readonly string[]> {
    const { image, folder, firmware } = this;
    const { result, reasons } = await withShutdownReasons((events) =>
      runScenario({
        machine: {
          boot: { kind: 'disk', image, writable: true },
          firmware,
          extra: [...events, ...extra],
        },
        folder,
        timeout: 600,
        endAt: [],
      }),
    );
    const said = serialLines(result.serial).filter((line) => line.startsWith('guest: '));
    if (said.length === 0) throw new Error(`lost: ${result.serial.slice(-3000)}\n${result.reproduce}`);
    return [...said, ...reasons];
  }

  /** Copies a file of /boot to the host and gives its name there. */
  copy(name: string): string {
    const out = join(this.folder, 'file');
    rmSync(out, { force: true });
    this.debugfs(`dump ${name} ${out}`);
    return out;
  }

  replace(name: string, bytes: Uint8Array): void {
    const from = join(this.folder, 'new');
    writeFileSync(from, bytes);
    this.remove(name);
    this.debugfs(`write ${from} ${name}`);
  }

  remove(name: string): void {
    this.debugfs(`rm ${name}`);
  }

  /** Variables of GRUB's environment block, as grub-editenv reads them. */
  environment(): string {
    return host('grub-editenv', [this.copy('/grub/grubenv'), 'list']);
  }

  /** Names of the captures, oldest first. */
  captures(): readonly string[] {
    return [...(this.debugfs('ls -p /saveoops').match(/2\d{7}T\d{6}Z-[^/]*/g) ?? [])].sort();
  }

  delete(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }

  private debugfs(request: string): string {
    return host('debugfs', ['-w', '-R', request, `${this.image}?offset=${boot.start * MiB}`]);
  }
}

function makeImage(image: string, firmware: GrubFirmware, initrd: string, args: readonly string[]): void {
  const isBios = firmware === 'bios';
  const hint = isBios ? 'msdos2' : 'gpt2';
  const partition = {
    ...probedDisks['/boot of its own'].boot,
    device: '/dev/sda2',
    partmap: isBios ? 'msdos' : 'gpt',
    compatibility_hint: `hd0,${hint}`,
    hints_string: `--hint-bios=hd0,${hint} --hint-efi=hd0,${hint}`,
  };
  const machine = new GrubMachine(
    { root: probedDisks['/boot of its own'].root, boot: partition },
    'GRUB_TIMEOUT=1\nGRUB_TERMINAL="console serial"\nGRUB_CMDLINE_LINUX="console=ttyS0,115200 panic=-1"\n',
  );
  try {
    arm(machine, initrd, args);
    const platform = isBios ? 'i386-pc' : 'x86_64-efi';
    mkdirSync(join(machine.boot, 'grub', platform));
    for (const name of readdirSync(join(grubFiles, platform))) {
      if (/\.(mod|lst)$/.test(name))
        copyFileSync(join(grubFiles, platform, name), join(machine.boot, 'grub', platform, name));
    }
    copyFileSync('/usr/share/grub/unicode.pf2', join(machine.boot, 'grub', 'unicode.pf2'));
    writeFileSync(image, '');
    host('truncate', ['-s', String(diskSize), image]);
    const table = [
      `label: ${isBios ? 'dos' : 'gpt'}`,
      `start=${esp.start}MiB, size=${esp.size}MiB, type=${isBios ? 'ef' : 'U'}`,
      `start=${boot.start}MiB, size=${boot.size}MiB, type=${isBios ? '83, bootable' : 'L'}`,
    ];
    host('sfdisk', ['--quiet', image], Buffer.from(`${table.join('\n')}\n`));
    host('mke2fs', [
      ...['-q', '-F', '-t', 'ext4', '-U', bootUuid, '-E', `offset=${boot.start * MiB}`, '-d', machine.boot],
      ...[image, `${boot.size}M`],
    ]);
    if (isBios) installBios(image);
    else installUefi(image);
  } finally {
    machine.remove();
  }
}

/** As on the machine itself: GRUB's own files first, then `saveoops update`. */
function arm(machine: GrubMachine, initrd: string, args: readonly string[]): void {
  const { vmlinuz } = stockKernel('amd64');
  const version = basename(vmlinuz).slice('vmlinuz-'.length);
  copyFileSync(vmlinuz, join(machine.boot, basename(vmlinuz)));
  copyFileSync(initrd, join(machine.boot, `initrd.img-${version}`));
  const config = join(machine.boot, 'grub', 'grub.cfg');
  writeFileSync(config, '');
  for (const [program, ...words] of [
    ['grub-editenv', '/boot/grub/grubenv', 'create'],
    ['grub-mkconfig', '-o', '/boot/grub/grub.cfg'],
    [
      ...[process.execPath, cli, 'update', '--no-config', '--enable', 'grub', '--save', 'boot'],
      ...['--modules', dirname(dirname(vmlinuz)), '--crash-append', 'saveoops.hold=0', ...args],
    ],
  ] as const) {
    const { status, stdout, stderr } = machine.run(program, ...words);
    if (status !== 0) throw new Error(`failed: ${program} ${words.join(' ')}: ${stdout}${stderr}`);
  }
  // grub-mkrelpath has told where the folder is on this host; on the disk it is the root of a file system.
  const relative = machine.run('grub-mkrelpath', '/boot').stdout.trim();
  writeFileSync(config, readFileSync(config, 'latin1').replaceAll(`${relative}/`, '/'), 'latin1');
}

/** boot.img, and the core image behind it, as grub-bios-setup writes them: both expect each other there. */
function installBios(image: string): void {
  const modules = join(grubFiles, 'i386-pc');
  const core = `${image}.core`;
  const wanted = ['biosdisk', 'part_msdos', 'ext2'];
  host('grub-mkimage', ['-O', 'i386-pc', '-d', modules, '-p', '(hd0,msdos2)/grub', '-o', core, ...wanted]);
  const to = [`of=${image}`, 'conv=notrunc', 'status=none'];
  // The partition table is behind it.
  host('dd', [`if=${join(modules, 'boot.img')}`, 'bs=440', 'count=1', ...to]);
  host('dd', [`if=${core}`, `bs=${sector}`, 'seek=1', ...to]);
}

/** Debian's GRUB for Secure Boot, which reads EFI/debian/grub.cfg, and that file as grub-install writes it. */
function installUefi(image: string): void {
  const place = `${image}@@${esp.start * MiB}`;
  host('mformat', ['-i', place, '-T', String((esp.size * MiB) / sector), '-h', '16', '-s', '32', '::']);
  for (const folder of ['EFI', 'EFI/BOOT', 'EFI/debian']) host('mmd', ['-i', place, `::/${folder}`]);
  const grub = join(grubFiles, 'x86_64-efi/monolithic/grubx64.efi');
  host('mcopy', ['-i', place, grub, '::/EFI/BOOT/BOOTX64.EFI']);
  const config = `search.fs_uuid ${bootUuid} root\nset prefix=($root)'/grub'\nconfigfile $prefix/grub.cfg\n`;
  host('mcopy', ['-i', place, '-', '::/EFI/debian/grub.cfg'], Buffer.from(config));
}
