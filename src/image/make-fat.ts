/** Makes a FAT file system in an image, with mtools: no root rights, no loop device. */
import { basename, dirname, posix, resolve } from 'node:path';
import { runTool } from '../host/run-tool.js';
import { sectorSize, type FatGeometry } from './fat-geometry.js';
import { reproducibleEnvironment } from './image-files.js';

export interface FatPlace {
  /** First sector in the image, which is large enough. */
  readonly start: number;
  readonly geometry: FatGeometry;
  /** The volume's serial number, 32 bits. */
  readonly id: number;
}

export interface FatFile {
  /** From the file system's root, with slashes: "EFI/BOOT/BOOTX64.EFI". */
  readonly path: string;
  /** On the host. */
  readonly source: string;
}

/** Formats, and copies `files`. Throws `tool`. */
export async function makeFat(
  image: string,
  { start, geometry, id }: FatPlace,
  files: readonly FatFile[],
): Promise<void> {
  const offset = start * sectorSize;
  // For mtools the name of an image ends at "@@", wherever that is, and x:y is y on drive x: names in the image's own
  // folder, and absolute ones, can be neither.
  const drive = `${basename(image)}@@${offset}`;
  const run = { env: reproducibleEnvironment, cwd: dirname(image), silent: true };
  await runTool(
    'mformat',
    [
      ...['-i', drive, '-T', String(geometry.partitionSectors), '-h', '255', '-s', '63'],
      ...['-H', String(start), '-c', String(geometry.clusterSectors)],
      ...['-N', id.toString(16).padStart(8, '0'), '-v', 'SAVEOOPS'],
      ...(geometry.bits === 32 ? ['-F'] : []),
      '::',
    ],
    run,
  );
  const made = new Set<string>();
  // One by one and in order: each file lies in one piece, which is what Syslinux reads fastest.
  for (const { path, source } of files) {
    const folders = foldersOf(path).filter((folder) => !made.has(folder));
    for (const folder of folders) {
      await runTool('mmd', ['-i', drive, `::/${folder}`], run);
      made.add(folder);
    }
    await runTool('mcopy', ['-i', drive, resolve(source), `::/${path}`], run);
  }
}

/** "a/b/c" has "a" and "a/b". */
function foldersOf(path: string): readonly string[] {
  const folder = posix.dirname(path);
  return folder === '.' ? [] : [...foldersOf(folder), folder];
}
