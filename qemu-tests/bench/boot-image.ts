/** A disk that boots one entry of a payload at once. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { unattendedConfig } from '../../src/image/boot-config.js';
import { makeDiskImage } from '../../src/image/disk-image.js';
import { readPayloadFolder } from '../../src/image/payload-folder.js';

/** In `folder`; `words` go to the entry's command line. Gives its path. */
export async function bootImage(out: string, label: string, words: string, folder: string): Promise<string> {
  const { files, configText } = await readPayloadFolder(out);
  const config = join(folder, 'syslinux.cfg');
  writeFileSync(config, unattendedConfig(configText, label, words));
  const image = join(folder, 'disk.img');
  await makeDiskImage(
    files.map(({ name, source }) => ({ name, source: name === 'syslinux.cfg' ? config : source })),
    image,
  );
  return image;
}
