/**
 * Captures on the file systems inside a disk image: FAT by mtools, ext2 to ext4 by debugfs, so that no root rights and no
 * loop device are needed. What these tools print of a damaged or hostile image is taken only where it looks like a
 * capture's own names.
 */
import { open, symlink } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { fileError, withTemporaryFolder } from '../host/files.js';
import { runTool } from '../host/run-tool.js';
import { SaveoopsError } from '../errors.js';
import { reproducibleEnvironment } from '../image/image-files.js';
import { requireOnHost, type Requirement } from '../image/requirements.js';
import { parseCaptureName, type CaptureName } from './capture-name.js';
import { readEnd } from './folder-store.js';
import { shellWord } from '../host/shell-word.js';
import type { FilePart, StoredCapture, StoredFile } from './stored-capture.js';

interface ImageFileSystem {
  readonly kind: 'FAT' | 'ext';
  /** Bytes from the start of the image. */
  readonly offset: number;
}

/** Where the capture initramfs saves on a file system unless it is told otherwise. */
const folders: readonly string[] = ['/saveoops', '/boot/saveoops'];

const sectorSize = 512;
/** More than a disk in a test or a rescue has. */
const mostFileSystems = 32;
/** A log that is larger was not written by a kernel. */
const largestFile = 256 * 2 ** 20;

/** All captures on file systems of the image that this program reads, in no order. Throws `file`, `wrong-file`, `tool`. */
export async function capturesInImage(image: string): Promise<readonly StoredCapture[]> {
  const systems = await fileSystems(image);
  if (systems.length === 0) {
    throw new SaveoopsError('wrong-file', 'no file system in it that can be searched for captures', {
      where: image,
      found: 'no FAT and no ext2, ext3 or ext4, neither in a partition nor over the whole file',
      wanted: 'a disk image with one of them',
      hint: 'mount it, and give the directory',
    });
  }
  const found: StoredCapture[] = [];
  for (const system of systems) {
    await requireOnHost(imageReaderNeeds[system.kind], environment.PATH);
    for (const folder of folders) found.push(...(await capturesIn(image, system, folder)));
  }
  return found;
}

/** Whether a file is a disk image or a file system rather than a log. Throws `file`. */
export async function looksLikeImage(path: string): Promise<boolean> {
  const start = await readAt(path, 0, 2048);
  return hasBootSignature(start) || fileSystemOf(start) !== undefined;
}

export const imageReaderNeeds: Readonly<Record<ImageFileSystem['kind'], readonly Requirement[]>> = {
  FAT: [
    { package: 'mtools', program: 'mdir' },
    { package: 'mtools', program: 'mcopy' },
  ],
  ext: [{ package: 'e2fsprogs', program: 'debugfs' }],
};

/** sbin is not on every PATH, and debugfs lives there. */
const environment = {
  ...reproducibleEnvironment,
  PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`,
  MTOOLS_DATE_STRING: 'yyyy-mm-dd',
  DEBUGFS_PAGER: 'cat',
};

async function fileSystems(image: string): Promise<readonly ImageFileSystem[]> {
  const offsets = [0, ...(await partitionOffsets(image))];
  const found: ImageFileSystem[] = [];
  for (const offset of offsets.slice(0, mostFileSystems)) {
    const kind = fileSystemOf(await readAt(image, offset, 2048));
    if (kind !== undefined) found.push({ kind, offset });
  }
  return found;
}

async function partitionOffsets(image: string): Promise<readonly number[]> {
  await requireOnHost([{ package: 'util-linux', program: 'partx' }], environment.PATH);
  try {
    // MBR and GPT. It fails when there is no partition table.
    const args = ['--raw', '--noheadings', '--output', 'START', resolve(image)];
    const text = Buffer.from(await runTool('partx', args, { env: environment })).toString();
    return text
      .split('\n')
      .filter((line) => /^\d{1,12}$/.test(line))
      .map((line) => Number(line) * sectorSize);
  } catch (error) {
    if (error instanceof SaveoopsError && error.kind === 'tool') return [];
    throw error;
  }
}

const hasBootSignature = (start: Buffer): boolean =>
  start.length >= 512 && start.readUInt16LE(510) === 0xaa55;

/** By what their own first 2 KiB say; a partition's type may lie. */
function fileSystemOf(start: Buffer): ImageFileSystem['kind'] | undefined {
  if (start.length < 2048) return undefined;
  const name = (offset: number): string => start.toString('latin1', offset, offset + 3);
  if (hasBootSignature(start) && (name(54) === 'FAT' || name(82) === 'FAT')) return 'FAT';
  // s_magic of the superblock, which begins at 1024.
  return start.readUInt16LE(1024 + 56) === 0xef53 ? 'ext' : undefined;
}

async function readAt(path: string, offset: number, size: number): Promise<Buffer> {
  let file;
  try {
    file = await open(path, 'r');
    const buffer = Buffer.alloc(size);
    const { bytesRead } = await file.read(buffer, 0, size, offset);
    return buffer.subarray(0, bytesRead);
  } catch (error) {
    throw fileError(path, 'a disk image', error);
  } finally {
    await file?.close();
  }
}

async function capturesIn(
  image: string,
  system: ImageFileSystem,
  folder: string,
): Promise<readonly StoredCapture[]> {
  const names = (await entries(image, system, folder)).flatMap(({ name }) => parseCaptureName(name) ?? []);
  return await Promise.all(
    names.map(async (capture) => storedCapture(image, system, `${folder}/${capture.name}`, capture)),
  );
}

async function storedCapture(
  image: string,
  system: ImageFileSystem,
  path: string,
  name: CaptureName,
): Promise<StoredCapture> {
  const files = (await entries(image, system, path))
    .filter((file) => file.kind === 'file')
    .sort((a, b) => (a.name < b.name ? -1 : 1));
  return {
    ...name,
    where: `${image}:${path}`,
    files: files.map(({ name, size }): StoredFile => ({ name, size })),
    read: async (file, limit) => {
      const known = files.find((each) => each.name === file);
      if (known === undefined) return undefined;
      if (known.size > largestFile) throw tooLarge(`${image}:${path}/${file}`, known.size);
      return await readFile(image, system, `${path}/${file}`, limit);
    },
    copyCommand: (file) =>
      system.kind === 'FAT'
        ? `mcopy -i ${shellWord(`${image}@@${system.offset}`)} ::${path}/${file} .`
        : `debugfs -R 'dump ${path}/${file} ${file}' ${shellWord(`${image}?offset=${system.offset}`)}`,
  };
}

function tooLarge(where: string, size: number): SaveoopsError {
  return new SaveoopsError('unsupported', 'too large for a log', {
    where,
    found: `${size} bytes`,
    wanted: `at most ${largestFile} bytes`,
  });
}

interface Entry extends StoredFile {
  readonly kind: 'file' | 'folder';
}

/** [] when there is no such folder. */
async function entries(image: string, system: ImageFileSystem, folder: string): Promise<readonly Entry[]> {
  return await withImage(image, async (cwd) => {
    const run = { cwd, env: environment };
    if (system.kind === 'ext') {
      const command = ['-R', `ls -p ${folder}`, `image?offset=${system.offset}`];
      return parseDebugfs(Buffer.from(await runTool('debugfs', command, run)).toString('latin1'));
    }
    try {
      const command = ['-i', `image@@${system.offset}`, `::${folder}`];
      return parseMdir(Buffer.from(await runTool('mdir', command, run)).toString('latin1'));
    } catch (error) {
      if (error instanceof SaveoopsError && error.kind === 'tool') return [];
      throw error;
    }
  });
}

async function readFile(
  image: string,
  system: ImageFileSystem,
  path: string,
  limit: number,
): Promise<FilePart | undefined> {
  return await withImage(image, async (cwd) => {
    const run = { cwd, env: environment };
    if (system.kind === 'ext')
      await runTool('debugfs', ['-R', `dump ${path} copy`, `image?offset=${system.offset}`], run);
    else await runTool('mcopy', ['-i', `image@@${system.offset}`, `::${path}`, 'copy'], run);
    return await readEnd(join(cwd, 'copy'), limit);
  });
}

/** A folder in which the image is called "image": both tools give characters of a name meanings of their own. */
async function withImage<T>(image: string, use: (folder: string) => Promise<T>): Promise<T> {
  return await withTemporaryFolder(async (folder) => {
    await symlink(resolve(image), join(folder, 'image'));
    return await use(folder);
  });
}

/** Names that captures and their files have; anything else is not listed. */
const plainName = /^[A-Za-z0-9.+_-]{1,200}$/;
const mostEntries = 10_000;

/** `/inode/mode/uid/gid/name/size/`, one a line. */
function parseDebugfs(text: string): readonly Entry[] {
  return text
    .split('\n', mostEntries)
    .flatMap((line): Entry[] => {
      const [, , mode = '', , , name = '', size = ''] = line.split('/', 8);
      // The first digits of the octal mode are the type.
      if (mode.startsWith('04')) return [{ name, size: 0, kind: 'folder' }];
      return mode.startsWith('10') ? [{ name, size: Number(size), kind: 'file' }] : [];
    })
    .filter(({ name, size }) => isPlain(name) && Number.isFinite(size));
}

/** `NAME     EXT       SIZE YYYY-MM-DD  HH:MM  long name`: eight, three and nine columns. */
const mdirLine = /^(.{8}) (.{3}) ([ 0-9]{9,16}|<DIR> {4,8}) ?\d{4}-\d\d-\d\d {2}[ \d]\d:\d\d ? ?(.*)$/;

function parseMdir(text: string): readonly Entry[] {
  return text
    .split('\n', mostEntries)
    .flatMap((line): Entry[] => {
      const match = mdirLine.exec(line);
      if (match === null) return [];
      const [, base = '', extension = '', size = '', long = ''] = match;
      const short = [base.trim(), extension.trim()].filter((part) => part !== '').join('.');
      const name = long.trim() === '' ? short : long.trim();
      if (size.startsWith('<')) return [{ name, size: 0, kind: 'folder' }];
      return [{ name, size: Number(size.replaceAll(' ', '')), kind: 'file' }];
    })
    .filter(({ name }) => isPlain(name));
}

const isPlain = (name: string): boolean => plainName.test(name) && name !== '.' && name !== '..';
