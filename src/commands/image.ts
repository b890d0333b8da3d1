/** `saveoops image DIR --out FILE [--iso]`: a bootable medium from a payload folder. */
import type { RunOptions } from '../host/task.js';
import { makeImage, type ImageRequest, type ImageResult } from '../library/make-image.js';
import { forJson } from '../safe-text.js';

export interface ImageOptions extends ImageRequest {
  readonly json?: boolean | undefined;
}

/** Where a command writes; cli.ts gives standard output. */
export interface ImageIo extends RunOptions {
  readonly out: (text: string) => void;
}

/** Throws `file`, `usage`, `tool`, `no-space`, `unsupported`. */
export async function runImage({ json, ...request }: ImageOptions, io: ImageIo): Promise<void> {
  const result = await makeImage(request, io);
  io.out(json === true ? `${forJson(result)}\n` : render(result));
}

function render({ out, dryRun, size, fileSystem, files }: ImageResult): string {
  const mebibytes = size === null ? [] : [`${(size / (1 << 20)).toFixed(1)} MiB`];
  const lines = [
    `${out}: ${[...mebibytes, fileSystem, ...files].join(', ')}`,
    dryRun
      ? 'Nothing was written'
      : `Write it to a stick (everything on the stick is lost): dd if=${out} of=/dev/STICK bs=4M conv=fsync`,
  ];
  return `${lines.join('\n')}\n`;
}
