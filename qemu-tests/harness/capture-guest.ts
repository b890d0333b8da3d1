/** The built-in capture initramfs, as `saveoops build` makes it, in which a script of a test takes the place of /init. */
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { buildCaptureInitramfs } from '../../src/capture-initramfs/build-initramfs.js';
import { writeCpioArchive } from '../../src/capture-initramfs/cpio-archive.js';
import { findModules } from '../../src/capture-initramfs/module-tree.js';
import { parseBzImage } from '../../src/formats/bzimage/parse-bzimage.js';
import { cache, digestOf, makeOnce } from './folders.js';
import { guestHead } from './guest.js';
import { stockKernel } from './payloads.js';

/**
 * Gives a path under .cache/guests. The machine is switched off behind the script.
 * @param flavour of the crash kernel, whose modules come along
 */
export async function captureRunning(script: string, flavour: string): Promise<string> {
  const init = [guestHead, 'mount -t tmpfs tmpfs /run', script, 'poweroff -f', ''].join('\n');
  const { vmlinuz } = stockKernel(flavour);
  const { release } = parseBzImage(readFileSync(vmlinuz), vmlinuz);
  const tree = await findModules(release, vmlinuz);
  if (tree === undefined) throw new Error(`${vmlinuz} has no modules beside it`);
  const base = await buildCaptureInitramfs({ dumps: true, modules: { tree, release, extra: [] } });
  return await makeOnce(
    join(cache, 'guests', `capture-${digestOf(init, base.bytes)}.cpio.gz`),
    async (out) => {
      const overlay = await writeCpioArchive([
        { path: 'init', mode: 0o755, kind: 'file', bytes: Buffer.from(init) },
      ]);
      // The kernel unpacks archives one after the other; of two files of one name the later stays.
      await writeFile(out, Buffer.concat([base.bytes, gzipSync(overlay)]));
    },
  );
}
