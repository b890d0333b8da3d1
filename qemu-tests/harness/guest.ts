/** Userspace for the primary kernel: a static busybox and one script. */
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { gatherCaptureFiles } from '../../src/capture-initramfs/capture-files.js';
import { writeCpioArchive, type ArchiveEntry } from '../../src/capture-initramfs/cpio-archive.js';
import { cache, digestOf, makeOnce } from './folders.js';

export interface GuestFile {
  /** In the guest, without a leading slash. */
  readonly path: string;
  /** On the host. The libraries of a dynamic program come along. */
  readonly source: string;
}

/**
 * Kernel messages below "emergency" stay off the console, so that they do not come between the script's lines;
 * panic() raises the level itself. All applets of busybox are commands.
 */
export const guestHead = `#!/bin/busybox sh
export PATH=/bin LD_LIBRARY_PATH=/lib LC_ALL=C
/bin/busybox mkdir -p /proc /sys /dev /tmp /run
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
/bin/busybox mount -t devtmpfs devtmpfs /dev
/bin/busybox --install -s /bin
exec </dev/ttyS0 >/dev/ttyS0 2>&1
dmesg -n 1
`;

/** What the script of a test's guest says on a line of its own to start and end a block (markedBlocks()). */
export const blockBegins = (name: string): string => `---- guest: ${name} begins ----`;
export const blockEnds = (name: string): string => `---- guest: ${name} ends ----`;

/** Shell lines that print the output of `command` as a marked block. */
export function printBlock(name: string, command: string): string {
  return `echo "${blockBegins(name)}"\n${command}\necho "${blockEnds(name)}"\n`;
}

/** Makes an initramfs whose /init is `script` (busybox sh), in .cache/guests, and gives its path. */
export async function guestInitramfs(script: string, files: readonly GuestFile[] = []): Promise<string> {
  const init = guestHead + script;
  const key = digestOf(
    init,
    readFileSync('/bin/busybox'),
    ...files.flatMap(({ path, source }) => [path, readFileSync(source)]),
  );
  return await makeOnce(join(cache, 'guests', `guest-${key}.cpio.gz`), async (out) => {
    const [busybox] = (await gatherCaptureFiles({ programs: [] })).filter(isBusybox);
    if (busybox === undefined) throw new Error('no busybox');
    const entries = new Map<string, ArchiveEntry>([
      ['init', { path: 'init', mode: 0o755, kind: 'file', bytes: Buffer.from(init) }],
      [busybox.path, busybox],
      ['dev', { path: 'dev', mode: 0o755, kind: 'directory' }],
    ]);
    // Two programs may share a library.
    for (const file of files) {
      for (const entry of await guestFile(file)) entries.set(entry.path, entry);
    }
    await writeFile(out, gzipSync(await writeCpioArchive([...entries.values()]), { level: 6 }));
  });
}

/** The file, and for a dynamic program its loader and libraries. */
async function guestFile({ path, source }: GuestFile): Promise<ArchiveEntry[]> {
  const bytes = readFileSync(source);
  const isElf = bytes.subarray(0, 4).equals(Buffer.from('\x7fELF', 'latin1'));
  // Kernel modules are relocatable objects (e_type 1).
  const isProgram = isElf && bytes.readUInt16LE(16) !== 1;
  if (!isProgram) return [{ path, mode: 0o755, kind: 'file', bytes }];
  const name = basename(path);
  const gathered = await gatherCaptureFiles({
    programs: [{ name, places: [source], debianPackage: `that has ${source}` }],
  });
  return gathered
    .filter((entry) => entry.kind === 'file' && entry.path !== 'init' && !isBusybox(entry))
    .map((entry) => (entry.path === `bin/${name}` ? { ...entry, path } : entry));
}

function isBusybox(entry: ArchiveEntry): boolean {
  return entry.path === 'bin/busybox';
}
