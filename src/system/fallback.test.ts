import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { withTemporaryFolder } from '../host/files.js';
import { findFallback } from './fallback.js';

const capture = '20261124T180000Z-6.1.0-a1b2c3';
const unknown = { release: undefined, message: undefined, inARow: undefined };

/** A root folder with a command line and, unless undefined, a capture.json. */
async function withRoot(
  cmdline: string,
  record: string | undefined,
  use: (root: string, folder: string) => Promise<void>,
): Promise<void> {
  await withTemporaryFolder(async (root) => {
    mkdirSync(join(root, 'proc'));
    writeFileSync(join(root, 'proc/cmdline'), cmdline);
    const folder = join(root, 'boot/saveoops', capture);
    mkdirSync(folder, { recursive: true });
    if (record !== undefined) writeFileSync(join(folder, 'capture.json'), record);
    await use(root, folder);
  });
}

describe('findFallback', () => {
  const words = `ro saveoops.fallback=old saveoops.fallback=${capture} quiet\n`;

  test('tells what the last capture says, the last word counting', () =>
    withRoot(
      words,
      '{ "message": "Kernel panic: \\u001b[2Jno\\n", "primary": { "release": "6.1.0" }, "inARow": 3 }',
      async (root, folder) => {
        expect(await findFallback(root)).toEqual({
          capture,
          folder,
          release: '6.1.0',
          message: 'Kernel panic: ?[2Jno?',
          inARow: 3,
        });
      },
    ));

  test.each(['{}', '{ "message": 7, "primary": null, "inARow": "many" }'])(
    'knows what it can read: %s',
    (record) =>
      withRoot(words, record, async (root, folder) => {
        expect(await findFallback(root)).toEqual({ capture, folder, ...unknown });
      }),
  );

  test.each([undefined, '', 'null', '{ "message": "cut sho'])('without a sound capture.json: %j', (record) =>
    withRoot(words, record, async (root) => {
      expect(await findFallback(root)).toEqual({ capture, folder: undefined, ...unknown });
    }),
  );

  test.each(['quiet', 'saveoops.fallback=', 'saveoops.fallback=../../etc', 'nosaveoops.fallback=x'])(
    'is none with %j',
    (cmdline) =>
      withRoot(cmdline, '{}', async (root) => {
        expect(await findFallback(root)).toBeUndefined();
      }),
  );
});
