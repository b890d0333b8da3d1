/** `saveoops image DIR --out FILE [--iso]`: a bootable medium from a payload folder. */
import { saveWord } from '../capture-initramfs/save-words.js';
import { withTemporaryFolder } from '../host/files.js';
import { addToAppend, type BootConfig, type BootEntry } from '../image/boot-config.js';
import { makeDiskImage } from '../image/disk-image.js';
import { makeIsoImage } from '../image/iso-image.js';
import { readPayloadFolder, withConfig } from '../image/payload-folder.js';

export interface ImageOptions {
  /** Folder that `saveoops build` wrote. */
  readonly dir: string;
  readonly out: string;
  /** An isohybrid ISO image in place of a FAT disk image. */
  readonly iso?: boolean | undefined;
}

/** Where a command writes; cli.ts gives standard output. */
export interface ImageIo {
  readonly out: (text: string) => void;
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

/** Throws `file`, `usage`, `tool`, `no-space`, `unsupported`. */
export async function runImage(options: ImageOptions, io: ImageIo): Promise<void> {
  const { files, configText, config } = await readPayloadFolder(options.dir);
  const made =
    options.iso === true
      ? await withTemporaryFolder(async (folder) =>
          makeIsoImage(await withConfig(files, configText, folder), options.out),
        )
      : await withTemporaryFolder(async (folder) => {
          const text = savingOnMedium(configText, config);
          return await makeDiskImage(await withConfig(files, text, folder), options.out);
        });
  const mebibytes = (made.size / (1 << 20)).toFixed(1);
  io.out(
    `${options.out}: ${mebibytes} MiB, ${made.fileSystem}, ${files.map((file) => file.name).join(', ')}\n`,
  );
  io.out(
    `Write it to a stick (everything on the stick is lost): dd if=${options.out} of=/dev/STICK bs=4M conv=fsync\n`,
  );
}
