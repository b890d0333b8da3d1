/** `saveoops image DIR --out FILE [--iso]`: a bootable medium from a payload folder. */
import { makeDiskImage } from '../image/disk-image.js';
import { makeIsoImage } from '../image/iso-image.js';
import { readPayloadFolder } from '../image/payload-folder.js';

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

/** Throws `file`, `usage`, `tool`, `no-space`, `unsupported`. */
export async function runImage(options: ImageOptions, io: ImageIo): Promise<void> {
  const { files } = await readPayloadFolder(options.dir);
  const made =
    options.iso === true ? await makeIsoImage(files, options.out) : await makeDiskImage(files, options.out);
  const mebibytes = (made.size / (1 << 20)).toFixed(1);
  io.out(
    `${options.out}: ${mebibytes} MiB, ${made.fileSystem}, ${files.map((file) => file.name).join(', ')}\n`,
  );
  io.out(
    `Write it to a stick (everything on the stick is lost): dd if=${options.out} of=/dev/STICK bs=4M conv=fsync\n`,
  );
}
