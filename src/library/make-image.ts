/** A bootable medium from a payload folder. */
import { saveWord } from '../capture-initramfs/save-words.js';
import { withTemporaryFolder } from '../host/files.js';
import { asTask, step, type RunOptions } from '../host/task.js';
import { addToAppend, type BootConfig, type BootEntry } from '../image/boot-config.js';
import { makeDiskImage, planDiskImage, type MadeImage } from '../image/disk-image.js';
import { makeIsoImage, planIsoImage } from '../image/iso-image.js';
import { readPayloadFolder, withConfig } from '../image/payload-folder.js';

/** What to make. */
export interface ImageRequest {
  /** Folder that `build` wrote. */
  readonly dir: string;
  /** The file to write, in a folder that exists. */
  readonly out: string;
  /** An isohybrid ISO image in place of a FAT disk image. */
  readonly iso?: boolean | undefined;
  /** Check everything and write nothing. */
  readonly dryRun?: boolean | undefined;
}

/** What has been made; `saveoops image --json` prints it. */
export interface ImageResult {
  readonly version: 1;
  readonly out: string;
  /** true: nothing was written. */
  readonly dryRun: boolean;
  /** Bytes; null: known only once it is made. */
  readonly size: number | null;
  readonly fileSystem: MadeImage['fileSystem'];
  /** Names of the files on it. */
  readonly files: readonly string[];
}

const says = (entry: BootEntry): boolean =>
  entry.append.split(/\s+/).some((word) => word.startsWith(saveWord));

/**
 * The configuration of a disk that keeps its own captures. Where `saveoops build --save` or a person has said something
 * about it, in the crash kernel's entry or in the armed one, that stays.
 */
export function savingOnMedium(text: string, config: BootConfig): string {
  if (config.entries.some((entry) => entry.kind !== 'COM32' && says(entry))) return text;
  return addToAppend(
    text,
    `${saveWord}boot`,
    (entry) => entry.kind === 'COM32' && entry.file === 'saveoops.c32' && !says(entry),
  );
}

/**
 * Makes a disk image, or an ISO image, that boots a payload by BIOS and by UEFI, without root rights.
 *
 * @throws {@link SaveoopsError} of kind `file`, `usage`, `tool`, `no-space`, `unsupported` or `format`.
 */
export async function makeImage(request: ImageRequest, run: RunOptions = {}): Promise<ImageResult> {
  const { dir, out, iso = false, dryRun = false } = request;
  return await asTask(run, async () => {
    step(`Reading ${dir}`);
    const { files, configText, config } = await readPayloadFolder(dir);
    const text = iso ? configText : savingOnMedium(configText, config);
    const made = await withTemporaryFolder(async (folder) => {
      const all = await withConfig(files, text, folder);
      if (dryRun) return await (iso ? planIsoImage(all) : planDiskImage(all));
      step(`Making ${out}`);
      return await (iso ? makeIsoImage(all, out) : makeDiskImage(all, out));
    });
    return { version: 1, out, dryRun, ...made, files: files.map(({ name }) => name) };
  });
}
