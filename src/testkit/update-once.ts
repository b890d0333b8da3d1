/**
 * One `updateVersion` as a process of its own, to be killed: LOADER BOOT PLACE VERSION PAYLOAD. PLACE is the boot configuration of
 * EXTLINUX, "/" of a machine with systemd-boot. In place of the seconds of a build it takes the files of the folder PAYLOAD, which
 * saveoops update has built.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { extlinux } from '../boot/extlinux.js';
import { grub } from '../boot/grub.js';
import type { Loader } from '../boot/loader.js';
import { systemdBoot } from '../boot/systemd-boot.js';
import { updateVersion } from '../boot/update-boot.js';
import { verifyPayload } from '../library/inspect.js';

const [name = '', boot = '', place = '', version = '', payload = ''] = process.argv.slice(2);

const loaders: Readonly<Record<string, () => Loader>> = {
  extlinux: () =>
    extlinux({
      boot,
      bootConfig: place,
      append: 'root=/dev/sda1',
      armedAppend: 'root=/dev/sda1',
      initrdBeside: false,
      afterReset: false,
      verify: verifyPayload,
    }),
  grub: () => grub({ boot, words: [] }),
  'systemd-boot': () =>
    systemdBoot({ root: place, bootConfig: undefined, words: [], fallbackEntry: undefined }),
};
const loader = loaders[name]?.();
if (loader === undefined) throw new Error(`no loader ${name}`);

await updateVersion(
  {
    boot,
    loader,
    settings: await readFile(join(payload, 'update.json'), 'utf8'),
    force: false,
    build: async () =>
      await Promise.all(
        [loader.payload.file, 'saveoops.json'].map(async (file) => ({
          name: file,
          chunks: [await readFile(join(payload, file))],
        })),
      ),
  },
  version,
);
