/** A disk with several payloads of one machine, as `saveoops update` leaves them, and an entry for each. */
import { copyFile, mkdir, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { makeDiskImage } from '../src/image/disk-image.js';
import { partitionStart, sectorSize } from '../src/image/fat-geometry.js';
import type { Machine } from '../src/machine/machine.js';
import type { QmpClient } from '../src/machine/qmp.js';
import { runSaveoops } from '../src/testkit/command-line.js';
import { host } from './harness/disks.js';
import { pressKeys } from './harness/press-keys.js';

/** What Syslinux says as soon as it has a serial port: a line that can be waited for, which the prompt behind it is not. */
const greeting = /SYSLINUX \d/;

export interface MenuEntry {
  /** One small letter, which is typed to start it. */
  readonly label: string;
  /** A bzImage: update builds its payload. Or a payload's folder, of which update knows nothing. */
  readonly kernel?: string;
  readonly folder?: string;
  readonly append: string;
}

/**
 * Makes the disk in `folder` and gives its image. It has no default: startEntry() chooses.
 * @param initrd of all kernels
 */
export async function sharedMenuDisk(
  folder: string,
  initrd: string,
  entries: readonly MenuEntry[],
): Promise<string> {
  const boot = join(folder, 'boot');
  await mkdir(boot);
  const config = join(boot, 'syslinux.cfg');
  await writeFile(config, '');
  const version = (kernel: string): string => basename(kernel).slice('vmlinuz-'.length);
  for (const { kernel } of entries) {
    if (kernel === undefined) continue;
    await copyFile(kernel, join(boot, basename(kernel)));
    await copyFile(initrd, join(boot, `initrd.img-${version(kernel)}`));
  }
  const args = ['--boot', boot, '--boot-config', config, '--append', 'ro', '--no-config', '--after-reset'];
  const updated = runSaveoops(['update', ...args, '--crash-append', 'saveoops.hold=0']);
  if (updated.status !== 0) throw new Error(`saveoops update: ${updated.stderr}`);

  const files = [{ name: 'after-reset.bin', source: join(boot, 'saveoops', 'after-reset.bin'), to: '' }];
  const text = ['SERIAL 0 115200', 'PROMPT 1', 'TIMEOUT 0'];
  for (const { label, kernel, folder: other, append } of entries) {
    const name = kernel === undefined ? label : version(kernel);
    const source = join(other ?? join(boot, 'saveoops', name), 'saveoops.c32');
    files.push({ name: `${label}.c32`, source, to: name });
    text.push(`LABEL ${label}`, `\tCOM32 ../saveoops/${name}/saveoops.c32`, `\tAPPEND ${append}`);
  }
  await writeFile(config, `${text.join('\n')}\n`);
  const image = join(folder, 'boot.img');
  await makeDiskImage([{ name: 'syslinux.cfg', source: config }, ...files], image);
  // The image maker knows one folder.
  const drive = `${image}@@${partitionStart * sectorSize}`;
  const folders = files.filter(({ to }) => to !== '').map(({ to }) => `::/saveoops/${to}`);
  host('mmd', ['-i', drive, '::/saveoops', ...folders]);
  for (const { name, to } of files) {
    const place = to === '' ? `::/saveoops/${name}` : `::/saveoops/${to}/saveoops.c32`;
    host('mmove', ['-i', drive, `::/syslinux/${name}`, place]);
  }
  return image;
}

/**
 * Waits for the loader's prompt and starts an entry.
 * @param from lines of this boot are behind it. Gives the next such number.
 */
export async function startEntry(
  machine: Machine,
  qmp: QmpClient,
  label: string,
  from: number,
): Promise<number> {
  const found = await machine.waitForLine([greeting], {
    timeoutMs: 150_000,
    from,
  });
  if (found.kind !== 'line') throw new Error(`lost: no prompt for ${label}`);
  await pressKeys(qmp, label, 'ret');
  return found.index + 1;
}
