/** The composed image as a payload: one file that a loader boots as it boots any kernel, and its digest beside it. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { imageFiles, manifestFile } from '../compose/payload-files.js';
import { SaveoopsError } from '../errors.js';
import { sha256Hex } from '../bytes/digests.js';
import type { PayloadKind } from './loader.js';
import { digestFile, type NewFile } from './payload-store.js';

/** In a payload folder, as `sha256sum -c` reads it: one line. */
export const sumsFile = 'SHA256SUMS';

/** What a loader makes of the composed image before it is put into the store: the file, and others that are to lie beside it. */
export type Finish = (
  image: Uint8Array,
  version: string,
) => Promise<{ readonly image: Uint8Array; readonly beside: readonly NewFile[] }>;

const asItIs: Finish = async (image) => await Promise.resolve({ image, beside: [] });

export function composedPayload(format: 'bzimage' | 'efi', finish = asItIs): PayloadKind {
  const file = imageFiles[format] ?? '';
  return {
    format,
    file,
    select: async (built, version) => {
      const composed = built.find(({ name }) => name === file);
      const manifest = built.find(({ name }) => name === manifestFile);
      if (composed === undefined || manifest === undefined) throw new Error(`no ${file} was built`);
      const { image, beside } = await finish(Buffer.concat(composed.chunks), version);
      const sums = Buffer.from(`${sha256Hex(image)}  ${file}\n`);
      return [{ name: file, chunks: [image] }, manifest, { name: sumsFile, chunks: [sums] }, ...beside];
    },
    verify: async (folder) => {
      const sums = await readFile(join(folder, sumsFile), 'latin1').catch(() => '');
      const found = `${await digestFile(join(folder, file))}  ${file}\n`;
      if (found === sums) return;
      throw new SaveoopsError('digest', 'the payload is damaged', {
        where: join(folder, file),
        found: found.trimEnd(),
        wanted: sums === '' ? `a line in ${sumsFile}` : sums.trimEnd(),
        hint: 'run saveoops update --force',
      });
    },
  };
}
