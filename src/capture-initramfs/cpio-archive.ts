/**
 * Writes a cpio archive in the "newc" format, the one that Linux unpacks as its initramfs
 * (Documentation/driver-api/early-userspace/buffer-format.rst), with the standard cpio tool.
 *
 * The same entries give the same bytes, whoever runs it: owner, modes, times, device and inode numbers and the order
 * of the entries are fixed here. One thing cpio takes from the file system: a folder's link count, which is 2 and
 * more on ext4, xfs, tmpfs and overlayfs, but always 1 on btrfs.
 */
import { chmod, lutimes, mkdir, symlink, utimes, writeFile } from 'node:fs/promises';
import { join, posix } from 'node:path';
import { SaveoopsError } from '../errors.js';
import { fileError, withTemporaryFolder } from '../host/files.js';
import { runTool } from '../host/run-tool.js';

/** One member. `path` is relative to the archive's root ("bin/busybox"); `mode` holds permission bits only. */
export type ArchiveEntry = { readonly path: string; readonly mode: number } & ArchiveContent;

export type ArchiveContent =
  | { readonly kind: 'file'; readonly bytes: Uint8Array }
  | { readonly kind: 'link'; readonly target: string }
  | { readonly kind: 'directory' };

/** 1 January 2000 UTC, seconds: any fixed time will do, but some tools take 0 for "unknown". */
const fixedTime = 946_684_800;

/**
 * The archive of `entries`, uncompressed. Folders that are only implied by a path are added (mode 0755). Needs no
 * root rights and makes no device nodes. Throws `tool` (cpio missing or failed) or `file` (no room for the
 * temporary copy, a path given twice), `format` for a path that leads elsewhere.
 */
export async function writeCpioArchive(entries: readonly ArchiveEntry[]): Promise<Uint8Array> {
  for (const { path } of entries) checkPath(path);
  const sorted = withParents(entries);
  return withTemporaryFolder(async (folder) => {
    for (const entry of sorted) {
      const path = join(folder, entry.path);
      try {
        await place(path, entry);
      } catch (error) {
        throw fileError(path, 'a temporary copy of an initramfs member', error);
      }
    }
    // Last and deepest first: making a member changes the time of the folder it is in.
    for (const entry of [...sorted].reverse()) await setTime(join(folder, entry.path), entry);
    const names = sorted.map((entry) => `${entry.path}\0`).join('');
    const options = ['-H', 'newc', '--reproducible', '-R', '0:0', '-0', '--quiet'];
    return await runTool('cpio', ['-o', ...options], {
      cwd: folder,
      input: Buffer.from(names),
      env: { LC_ALL: 'C' },
    });
  });
}

/** Names of libraries and modules come from files of others: none may lead out of the folder that they are placed in. */
function checkPath(path: string): void {
  const parts = path.split('/');
  if (!parts.some((part) => part === '' || part === '.' || part === '..') && !path.includes('\0')) return;
  throw new SaveoopsError('format', 'not a path for a member of an initramfs', {
    where: 'the capture initramfs',
    found: JSON.stringify(path),
    wanted: 'a path below its root',
    hint: 'the name comes from a program, a library or a module that goes into it: is one of them not what it should be?',
  });
}

async function place(path: string, entry: ArchiveEntry): Promise<void> {
  switch (entry.kind) {
    case 'directory':
      await mkdir(path);
      break;
    case 'file':
      await writeFile(path, entry.bytes, { flag: 'wx' });
      break;
    case 'link':
      await symlink(entry.target, path);
      return;
  }
  // Not left to the mode argument of mkdir and open, which the umask cuts down.
  await chmod(path, entry.mode);
}

async function setTime(path: string, entry: ArchiveEntry): Promise<void> {
  const set = entry.kind === 'link' ? lutimes : utimes;
  await set(path, fixedTime, fixedTime);
}

/** All entries and the folders above them, sorted by path, so that a folder comes before what is in it. */
function withParents(entries: readonly ArchiveEntry[]): ArchiveEntry[] {
  const known = new Set(entries.map((entry) => entry.path));
  const all = [...entries];
  for (const entry of entries) {
    for (let path = posix.dirname(entry.path); path !== '.'; path = posix.dirname(path)) {
      if (known.has(path)) continue;
      known.add(path);
      all.push({ path, mode: 0o755, kind: 'directory' });
    }
  }
  // By code unit, not localeCompare: the order must not depend on the builder's locale.
  return all.sort((a, b) => (a.path < b.path ? -1 : Number(a.path > b.path)));
}
