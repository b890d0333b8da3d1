import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from '@jest/globals';
import { withTemporaryFolder } from '../host/files.js';
import { oracle } from '../testkit/command-line.js';
import { loadStubObjects } from './stub-objects.js';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const objects = ['entry.elf', 'crash.elf', 'hook.o', 'module.elf', 'module64.elf'];

describe('the bare-metal objects', () => {
  test('two builds into two folders are byte-equal, and equal what is in dist/stubs', async () => {
    await withTemporaryFolder(async (folder) => {
      const built = ['one', 'another-name'].map((name) => {
        const out = join(folder, name);
        oracle('make', ['-s', '-C', join(root, 'stubs'), `OUT=${out}`]);
        return objects.map((object) => readFileSync(join(out, object)).toString('base64'));
      });
      expect(built[0]).toEqual(built[1]);
      expect(built[0]).toEqual(
        objects.map((object) => readFileSync(join(root, 'dist', 'stubs', object)).toString('base64')),
      );
    });
  }, 60_000);

  test('XXH32 in the COM32 module multiplies: the processor, not shifts and adds', () => {
    const code = oracle('objdump', ['-d', '--no-show-raw-insn', join(root, 'dist', 'stubs', 'module.elf')]);
    const multiplications = code.match(/\timul /g) ?? [];
    // Two a lane and round, four lanes.
    expect(multiplications.length).toBeGreaterThanOrEqual(8);
    const newer = code.match(/\t(cmov|bswap|cmpxchg|xadd)/g) ?? [];
    expect(newer).toEqual([]);
  });

  test('flat stubs are what objcopy makes of them', async () => {
    const only = ['.text', '.reset', '.rodata', '.data'].flatMap((name) => ['-j', name]);
    const { entry, crash } = await loadStubObjects();
    await withTemporaryFolder(async (folder) => {
      for (const [name, stub] of [
        ['entry.elf', entry],
        ['crash.elf', crash],
      ] as const) {
        const flat = join(folder, name);
        oracle('objcopy', ['-O', 'binary', ...only, join(root, 'dist', 'stubs', name), flat]);
        const bytes = readFileSync(flat);
        // objcopy leaves out zeroed data at the end.
        expect(Buffer.compare(Buffer.from(stub.bytes).subarray(0, bytes.length), bytes)).toBe(0);
        expect(stub.bytes.subarray(bytes.length).every((byte) => byte === 0)).toBe(true);
      }
    });
  });
});
