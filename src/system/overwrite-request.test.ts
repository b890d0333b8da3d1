import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { withTemporaryFolder } from '../host/files.js';
import { readOverwriteRequest } from './overwrite-request.js';

const folder = 'sys/firmware/efi/efivars';
const name = 'MemoryOverwriteRequestControl-e20939be-32d4-41be-a150-897f85d49829';

/** What is read where `make` has put something, at the path that it is given. */
async function readAfter(make: (path: string) => void): Promise<boolean | undefined> {
  return await withTemporaryFolder(async (root) => {
    mkdirSync(join(root, folder), { recursive: true });
    make(join(root, folder, name));
    return await readOverwriteRequest(root);
  });
}

describe('MemoryOverwriteRequest', () => {
  // Attributes: non-volatile, boot services, runtime. Bit 4 of the value: firmware is not to guess whether a restart was orderly.
  test.each([
    ['a request', [7, 0, 0, 0, 1], true],
    ['a request, and no guessing', [7, 0, 0, 0, 0x11], true],
    ['no request', [7, 0, 0, 0, 0], false],
    ['no request, and no guessing', [7, 0, 0, 0, 0x10], false],
    ['attributes that have the bit, and a value without', [1, 1, 1, 1, 0], false],
    ['attributes alone', [7, 0, 0, 0], undefined],
    ['an empty file', [], undefined],
    ['a byte too many', [7, 0, 0, 0, 1, 0], undefined],
  ])('%s', async (_, bytes, expected) => {
    expect(
      await readAfter((path) => {
        writeFileSync(path, Buffer.from(bytes));
      }),
    ).toBe(expected);
  });

  test('no UEFI, a folder, a pipe: not known', async () => {
    expect(await readAfter(() => undefined)).toBeUndefined();
    expect(
      await readAfter((path) => {
        mkdirSync(path);
      }),
    ).toBeUndefined();
    expect(
      await readAfter((path) => {
        execFileSync('mkfifo', [path]);
      }),
    ).toBeUndefined();
  });
});
