/** A signature for Secure Boot, by sbsign: the firmware, shim or a boot loader checks it before it starts the file. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runTool } from './run-tool.js';
import { withTemporaryFolder } from './temporary-files.js';

/** Files, PEM. */
export interface SigningKey {
  readonly key: string;
  readonly certificate: string;
}

/** The image with a signature behind it. Throws `tool` with what sbsign says of a key or certificate that it cannot use. */
export async function signImage(image: Uint8Array, { key, certificate }: SigningKey): Promise<Uint8Array> {
  return await withTemporaryFolder(async (folder) => {
    const [from, to] = [join(folder, 'image'), join(folder, 'signed')];
    await writeFile(from, image);
    await runTool('sbsign', ['--key', key, '--cert', certificate, '--output', to, from]);
    return await readFile(to);
  });
}
