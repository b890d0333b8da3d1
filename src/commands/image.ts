/** `saveoops image DIR --out FILE [--iso]`: a bootable medium from a payload folder. */
import { mebibytes } from '../bytes/mebibytes.js';
import type { ResultIo } from '../host/output.js';
import { makeImage, type ImageRequest, type ImageResult } from '../library/make-image.js';
import { forJson } from '../safe-text.js';

export interface ImageOptions extends ImageRequest {
  readonly json?: boolean | undefined;
}

/** Throws `file`, `usage`, `tool`, `no-space`, `unsupported`. */
export async function runImage({ json, ...request }: ImageOptions, io: ResultIo): Promise<void> {
  const result = await makeImage(request, io);
  io.out(json === true ? `${forJson(result)}\n` : render(result));
}

function render({ out, dryRun, size, fileSystem, files }: ImageResult): string {
  const lines = [
    `${out}: ${[...(size === null ? [] : [mebibytes(size)]), fileSystem, ...files].join(', ')}`,
    dryRun
      ? 'Nothing was written'
      : `Write it to a stick (everything on the stick is lost): dd if=${out} of=/dev/STICK bs=4M conv=fsync`,
  ];
  return `${lines.join('\n')}\n`;
}
