import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from '@jest/globals';
import { withTemporaryFolder } from '../host/files.js';
import { oracle } from '../testkit/command-line.js';
import { loadStubObjects } from './stub-objects.js';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const objects = ['entry.elf', 'crash.elf', 'hook.o', 'module.elf', 'module64.elf'];

const disassembled = (object: string): string =>
  oracle('objdump', ['-d', '--no-show-raw-insn', join(root, 'dist', 'stubs', object)]);

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

  test('the COM32 module: XXH32 multiplies, by the processor, not by shifts and adds; nothing is newer than SSE2', () => {
    const code = disassembled('module.elf');
    const multiplications = code.match(/\timul /g) ?? [];
    // Two a lane and round, four lanes.
    expect(multiplications.length).toBeGreaterThanOrEqual(8);
    const newer = code.match(/\t(lddqu|movddup|pshufb|palignr|crc32|v[a-z]+ )/g) ?? [];
    expect(newer).toEqual([]);
  });

  test('vector registers: only in the object that is called with them switched on, which takes seven instructions for 16 bytes', () => {
    for (const prefix of ['module-', 'module64-']) {
      const [, block = ''] = disassembled(`${prefix}xxh3.o`).split(/^[0-9a-f]+ <xxh3_blocks>:\n/m);
      const [code = ''] = block.split('\n\n');
      // Those of the sixteen stripes of a block, and some for its end and its start.
      const instructions = code.split('\n').length;
      expect(code).toContain('%xmm');
      expect(instructions).toBeGreaterThan(16 * 4 * 7);
      expect(instructions).toBeLessThan(16 * 4 * 7 + 90);
      expect(disassembled(`${prefix}saveoops.o`)).not.toContain('%xmm');
    }
    expect(disassembled('module-after-reset.o')).not.toContain('%xmm');
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
