/**
 * What a build cannot do without, in a process of its own as the build is: decompress the kernel with the host's tool, read and SHA-256
 * both inputs, write files of the sizes given and fsync them. Arguments: KERNEL INITRD OUT SIZE...
 */
import { createHash } from 'node:crypto';
import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { parseBzImage } from '../../src/formats/bzimage/parse-bzimage.js';
import { decompressPayload } from '../../src/formats/bzimage/payload.js';

const [kernel = '', initrd = '', out = '', ...sizes] = process.argv.slice(2);
rmSync(out, { recursive: true, force: true });
mkdirSync(out, { recursive: true });
const bzImage = readFileSync(kernel);
const unpacked = decompressPayload(parseBzImage(bzImage, kernel).payload, kernel);
const bytes = readFileSync(initrd);
for (const input of [bzImage, bytes]) createHash('sha256').update(input).digest();
const content = Buffer.concat([bytes, await unpacked]);
sizes.map(Number).forEach((size, index) => {
  const file = openSync(join(out, String(index)), 'w');
  for (let done = 0; done < size;) {
    done += writeSync(file, content, 0, Math.min(content.length, size - done));
  }
  fsyncSync(file);
  closeSync(file);
});
