/** A signature for Secure Boot, by sbsign: the firmware, shim or a boot loader checks it before it starts the file. */
import { X509Certificate } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runTool } from './run-tool.js';
import { withTemporaryFolder } from './temporary-files.js';

/** Files. */
export interface SigningKey {
  /** PEM. */
  readonly key: string;
  /** PEM, or DER as DKMS and mokutil have it. */
  readonly certificate: string;
}

/** The image with a signature behind it. Throws `tool` with what sbsign says of a key or certificate that it cannot use. */
export async function signImage(image: Uint8Array, { key, certificate }: SigningKey): Promise<Uint8Array> {
  return await withTemporaryFolder(async (folder) => {
    const [from, to] = [join(folder, 'image'), join(folder, 'signed')];
    await writeFile(from, image);
    const cert = await asPem(certificate, join(folder, 'certificate'));
    await runTool('sbsign', ['--key', key, '--cert', cert, '--output', to, from]);
    return await readFile(to);
  });
}

/** sbsign reads PEM only. Of a file that is no certificate it says so itself. */
async function asPem(certificate: string, copy: string): Promise<string> {
  try {
    await writeFile(copy, new X509Certificate(await readFile(certificate)).toString());
    return copy;
  } catch {
    return certificate;
  }
}
