/** A disk with extlinux on ext4, without root rights: extlinux wants a mounted file system, so a guest installs it. */
import {
  openSync,
  closeSync,
  writeSync,
  readFileSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { copyFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { unattendedConfig } from '../../src/image/boot-config.js';
import { readPayloadFolder } from '../../src/image/payload-folder.js';
import { syslinuxFiles } from '../../src/image/requirements.js';
import { runScenario } from '../../src/machine/scenario.js';
import { serialLines } from '../../src/machine/serial-text.js';
import { serialConsole } from '../harness/boot.js';
import { host } from '../harness/disks.js';
import { guestInitramfs, type GuestFile } from '../harness/guest.js';
import { modulesOf } from '../harness/kernel-modules.js';
import { stockKernel } from '../harness/payloads.js';

const MiB = 1 << 20;
const sector = 512;
const size = 256;
const done = 'guest: extlinux is installed';

/**
 * Writes `image`: one ext4 partition with the payload of the folder `dir` in /boot/extlinux.
 * @param program extlinux; another than the system's, for another version of Syslinux
 */
export async function makeExtlinuxDisk(
  dir: string,
  image: string,
  program = '/usr/bin/extlinux',
): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'svo-'));
  try {
    const boot = join(folder, 'root/boot/extlinux');
    mkdirSync(boot, { recursive: true });
    const { files, configText } = await readPayloadFolder(dir);
    for (const { name, source } of files) {
      if (!['syslinux.cfg', 'ldlinux.c32'].includes(name)) await copyFile(source, join(boot, name));
    }
    writeFileSync(join(boot, 'extlinux.conf'), unattendedConfig(configText, 'saveoops', serialConsole));
    writePartitionTable(image);
    // extlinux reads neither 64-bit block numbers nor checksums of metadata.
    host('mke2fs', [
      ...['-q', '-F', '-t', 'ext4', '-O', '^64bit,^metadata_csum', '-d', join(folder, 'root')],
      ...['-E', `offset=${MiB}`, image, `${size - 1}M`],
    ]);
    const { serial, reproduce } = await runScenario({
      machine: {
        boot: {
          kind: 'kernel',
          kernel: stockKernel('amd64').vmlinuz,
          initrd: await installingGuest(program),
          append: serialConsole,
        },
        extra: [
          ...['-drive', `if=none,id=disk,format=raw,file=${image}`],
          ...['-device', 'ide-hd,drive=disk,bus=ide.0'],
        ],
      },
      folder,
      timeout: 180,
    });
    const lines = serialLines(serial);
    if (lines.includes(done)) return;
    throw new Error(['lost: extlinux was not installed', ...lines.slice(-20), reproduce].join('\n'));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function installingGuest(program: string): Promise<string> {
  const modules = new Map<string, GuestFile>();
  for (const name of ['ahci', 'sd_mod', 'crc32c_generic', 'ext4']) {
    for (const file of modulesOf('amd64', name)) modules.set(file.path, file);
  }
  const load = [...modules.values()].map(({ path }) => `insmod /modules/${basename(path)}`).join('\n');
  return await guestInitramfs(
    `
${load}
for try in 1 2 3 4 5 6 7 8 9 10; do [ -b /dev/sda1 ] && break; sleep 1; done
mkdir /t
mount -t ext4 /dev/sda1 /t || poweroff -f
# mke2fs has left holes where a file is zero. Syslinux 6.03 does not read such files; what copies to /boot makes none.
for file in /t/boot/extlinux/*; do cp "$file" /t/copy && mv /t/copy "$file"; done
/bin/extlinux --install /t/boot/extlinux && umount /t && echo "${done}"
poweroff -f
`,
    [...modules.values(), { path: 'bin/extlinux', source: program }],
  );
}

/** Syslinux's MBR and one active Linux partition. */
function writePartitionTable(path: string): void {
  const mbr = Buffer.alloc(sector);
  mbr.set(readFileSync(syslinuxFiles.mbr));
  mbr.set([0x80, 0xfe, 0xff, 0xff, 0x83, 0xfe, 0xff, 0xff], 446);
  mbr.writeUInt32LE(MiB / sector, 454);
  mbr.writeUInt32LE(((size - 1) * MiB) / sector, 458);
  mbr.writeUInt16LE(0xaa55, 510);
  const file = openSync(path, 'w');
  writeSync(file, mbr);
  closeSync(file);
  host('truncate', ['-s', `${size}M`, path]);
}
