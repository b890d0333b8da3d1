/** A disk that boots one entry of a payload at once, for programs without jest: tests have bootPayload(). */
import { join } from 'node:path';
import { unattendedConfig } from '../../src/image/boot-config.js';
import { makeDiskImage } from '../../src/image/disk-image.js';
import { readPayloadFolder, withConfig } from '../../src/image/payload-folder.js';

/** In `folder`; `words` go to the entry's command line. Gives its path. */
export async function unattendedDisk(
  dir: string,
  label: string,
  words: string,
  folder: string,
): Promise<string> {
  const { files, configText } = await readPayloadFolder(dir);
  const image = join(folder, 'boot.img');
  await makeDiskImage(await withConfig(files, unattendedConfig(configText, label, words), folder), image);
  return image;
}
