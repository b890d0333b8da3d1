/** The files that go onto a boot medium, and their checks. */
import { stat } from 'node:fs/promises';
import { changed, fileError } from '../host/files.js';
import { SaveoopsError } from '../errors.js';

/** One file for a medium: `name` (no folder) beside the Syslinux configuration, `source` on the host. */
export interface ImageFile {
  readonly name: string;
  readonly source: string;
}

export interface SizedImageFile extends ImageFile {
  /** Bytes. */
  readonly size: number;
  /** Of the last change, nanoseconds since 1970. */
  readonly mtimeNs: bigint;
}

/** FAT's limit; ISO 9660 level 3 could hold more, but a payload of 4 GiB cannot boot below 4 GiB anyway. */
const largestFile = 2 ** 32 - 1;

/** Times and ids of a medium are fixed, so that the same files always give the same bytes: 2000-01-01 UTC. */
export const fixedTime = 946_684_800;

/** Environment in which mtools, syslinux and xorriso write fixed times and heed no configuration of the user. */
export const reproducibleEnvironment: Readonly<Record<string, string>> = {
  SOURCE_DATE_EPOCH: String(fixedTime),
  TZ: 'UTC',
  LC_ALL: 'C',
  MTOOLSRC: '/dev/null',
  // mtools refuses file systems whose size is no multiple of a track, a rule for floppies.
  MTOOLS_SKIP_CHECK: '1',
};

/** Adds sizes. Throws `usage` for a bad or repeated name, `file` for an unreadable file, `no-space` over 4 GiB. */
export async function sizeImageFiles(files: readonly ImageFile[]): Promise<readonly SizedImageFile[]> {
  const seen = new Set<string>();
  const sized: SizedImageFile[] = [];
  for (const file of files) {
    // FAT folds case, so names that differ in case only would be one file there.
    const folded = file.name.toLowerCase();
    if (!/^[A-Za-z0-9_][A-Za-z0-9_.+~=@-]*$/.test(file.name) || file.name.length > 200) {
      throw new SaveoopsError('usage', `${JSON.stringify(file.name)} cannot be a name on a boot medium`, {
        where: file.source,
        found: JSON.stringify(file.name),
        wanted: 'letters, digits and _ . + ~ = @ - only',
        hint: 'rename the file, and name it so in syslinux.cfg',
      });
    }
    if (seen.has(folded)) {
      throw new SaveoopsError('usage', `two files would be ${file.name} on the medium`, {
        where: file.source,
        found: `${file.name} twice (FAT does not tell upper from lower case)`,
        wanted: 'distinct names',
      });
    }
    seen.add(folded);
    sized.push({ ...file, ...(await look(file.source)) });
  }
  for (const file of sized) {
    if (file.size > largestFile) {
      throw new SaveoopsError('no-space', `${file.source} is too large for FAT`, {
        where: file.source,
        found: `${file.size} bytes`,
        wanted: `at most ${largestFile} bytes`,
      });
    }
  }
  return sized;
}

const wanted = 'a regular file for the boot medium';

/** Throws `file` when one was changed since its size was taken: a host tool has read it, before or after. */
export async function requireUnchanged(files: readonly SizedImageFile[]): Promise<void> {
  for (const { source, size, mtimeNs } of files) {
    const now = await look(source);
    if (now.size !== size || now.mtimeNs !== mtimeNs) throw changed(source, wanted);
  }
}

async function look(path: string): Promise<Pick<SizedImageFile, 'size' | 'mtimeNs'>> {
  try {
    const status = await stat(path, { bigint: true });
    if (!status.isFile()) throw new Error('not a regular file');
    return { size: Number(status.size), mtimeNs: status.mtimeNs };
  } catch (error) {
    throw fileError(path, wanted, error);
  }
}
