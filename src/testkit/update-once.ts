/**
 * One `updateVersion` as a process of its own, to be killed: BOOT CONFIG VERSION PAYLOAD. In place of the seconds
 * of a build it takes the files of the folder PAYLOAD, which saveoops update has built.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { extlinux } from '../boot/extlinux.js';
import { updateVersion } from '../boot/update-boot.js';
import { verifyPayload } from '../library/inspect.js';

const [boot = '', bootConfig = '', version = '', payload = ''] = process.argv.slice(2);

await updateVersion(
  {
    boot,
    loader: extlinux({
      boot,
      bootConfig,
      append: 'root=/dev/sda1',
      armedAppend: 'root=/dev/sda1',
      initrdBeside: false,
      afterReset: false,
      verify: verifyPayload,
    }),
    settings: await readFile(join(payload, 'update.json'), 'utf8'),
    force: false,
    build: async () =>
      await Promise.all(
        ['saveoops.c32', 'saveoops.json'].map(async (name) => ({
          name,
          chunks: [await readFile(join(payload, name))],
        })),
      ),
  },
  version,
);
