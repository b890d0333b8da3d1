/**
 * What a rebuild with another initramfs cannot do without, in a process of its own: read the payload and the initramfs, SHA-256 the
 * initramfs and what is taken over, write a payload and fsync it. Arguments: PAYLOAD INITRD OUT
 */
import { createHash } from 'node:crypto';
import { closeSync, fsyncSync, openSync, readFileSync, writeSync } from 'node:fs';

const [payload = '', initrd = '', out = ''] = process.argv.slice(2);
const before = readFileSync(payload);
const bytes = readFileSync(initrd);
const taken = before.subarray(0, before.length - bytes.length);
for (const part of [taken, bytes]) createHash('sha256').update(part).digest();
const file = openSync(out, 'w');
for (const part of [taken, bytes]) {
  for (let done = 0; done < part.length;) done += writeSync(file, part, done);
}
fsyncSync(file);
closeSync(file);
