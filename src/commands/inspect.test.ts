/** `saveoops inspect` of the module for UEFI and of folders; of saveoops.c32: src/payload/com32-file.test.ts. */
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { buildInto, oracle, runSaveoops, type BuiltPayload } from '../testkit/command-line.js';
import { stockKernels } from '../testkit/stock-kernels.js';
import { runInspect } from './inspect.js';

let folder: string;
let payload: BuiltPayload;
let module: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'saveoops-inspect-'));
  // Of the kernel of the demo, as is the picture in README.md.
  const kernel = stockKernels().find(({ flavour }) => flavour === 'amd64') ?? stockKernels()[0];
  payload = buildInto(join(folder, 'out'), kernel?.vmlinuz ?? '');
  module = join(folder, 'out/saveoops-efi.c32');
}, 120_000);

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

/** A folder with the payload's two files and what `change` makes of the module. */
function changed(name: string, change: (module: Buffer) => void): string {
  const copy = join(folder, name);
  mkdirSync(copy);
  copyFileSync(payload.file, join(copy, 'saveoops.c32'));
  const bytes = readFileSync(module);
  change(bytes);
  writeFileSync(join(copy, 'saveoops-efi.c32'), bytes);
  return copy;
}

function flip(bytes: Buffer, at: number): void {
  bytes.writeUInt8(bytes.readUInt8(at) ^ 1, at);
}

describe('a good module, by its name or by its folder', () => {
  test('gives the manifest, whose digest sha256sum confirms', () => {
    expect(oracle('sha256sum', [module]).split(' ')[0]).toBe(payload.manifest.efiModule.sha256);
    for (const path of [module, join(folder, 'out')]) {
      const { status, stdout, stderr } = runSaveoops(['inspect', '--json', path]);
      expect([status, stderr]).toEqual([0, '']);
      expect(JSON.parse(stdout)).toEqual(payload.manifest);
    }
  });

  test('stands in the table', () => {
    const { stdout } = runSaveoops(['inspect', module]);
    expect(stdout).toContain(`saveoops-efi.c32  ${payload.manifest.efiModule.sha256.slice(0, 12)}\n`);
  });

  test('a folder without it: the payload is all there is', () => {
    const alone = join(folder, 'alone');
    mkdirSync(alone);
    copyFileSync(payload.file, join(alone, 'saveoops.c32'));
    expect(runSaveoops(['inspect', alone]).status).toBe(0);
  });
});

describe('a wrong one', () => {
  test.each([
    ['code', (bytes: Buffer) => bytes.indexOf('saveoops-plain')],
    ['load table', (bytes: Buffer) => bytes.indexOf('SvLd') + 40],
  ] as const)('with a flipped byte in its %s is damaged', (name, place) => {
    const copy = changed(`flipped ${name}`, (bytes) => {
      flip(bytes, place(bytes));
    });
    for (const path of [copy, join(copy, 'saveoops-efi.c32')]) {
      const { status, stdout, stderr } = runSaveoops(['inspect', path]);
      expect(status).toBe(65);
      expect(stdout).toMatch(/^UEFI +saveoops-efi\.c32 +DAMAGED$/m);
      expect(stderr).toContain('saveoops-efi.c32: other bytes than were written');
    }
  });

  test('of another build is told from a damaged one', () => {
    const other = join(folder, 'other');
    const repacked = runSaveoops(['repack', payload.file, '--append', 'other', '--out', other]);
    expect(repacked.status).toBe(0);
    const copy = changed('two builds', (bytes) => {
      readFileSync(join(other, 'saveoops-efi.c32')).copy(bytes);
    });
    const { status, stderr } = runSaveoops(['inspect', copy]);
    expect(status).toBe(65);
    expect(stderr).toContain('the module for UEFI and the payload are of two builds');
    expect(runSaveoops(['inspect', other]).status).toBe(0);
  });

  test('without the payload that it reads', () => {
    const lonely = join(folder, 'lonely-efi.c32');
    copyFileSync(module, lonely);
    const { status, stderr } = runSaveoops(['inspect', lonely]);
    expect(status).toBe(74);
    expect(stderr).toContain(join(folder, 'lonely.c32'));
  });

  test('under a name by which it finds no payload', () => {
    copyFileSync(module, join(folder, 'renamed.c32'));
    const { status, stderr } = runSaveoops(['inspect', join(folder, 'renamed.c32')]);
    expect(status).toBe(65);
    expect(stderr).toContain('NAME-efi.c32 reads the NAME.c32 beside it');
  });

  test('cut off anywhere', async () => {
    const whole = readFileSync(module);
    const file = join(folder, 'cut-efi.c32');
    for (let size = 0; size < whole.length; size += 97) {
      writeFileSync(file, whole.subarray(0, size));
      const error: unknown = await runInspect({ file, json: false }, { out: () => undefined }).catch(
        (thrown: unknown) => thrown,
      );
      expect([size, error]).toEqual([
        size,
        expect.objectContaining({ kind: expect.stringMatching(/^(wrong-file|truncated)$/) }),
      ]);
    }
  });

  test('another ELF64 file', () => {
    const { status, stderr } = runSaveoops(['inspect', process.execPath]);
    expect(status).toBe(65);
    expect(stderr).toContain('is not a Saveoops payload');
  });
});

test('the picture in README.md is what the command draws of a payload, but for numbers', () => {
  const blocks = (svg: string): readonly string[] =>
    [...svg.matchAll(/<title>(.*), \d+ bytes at 0x\w+<\/title>/g)].map(([, name = '']) => name);
  const drawn = join(folder, 'map.svg');
  expect(runSaveoops(['inspect', '--svg', drawn, join(folder, 'out')]).status).toBe(0);
  const shown = readFileSync(new URL('../../../docs/memory-map.svg', import.meta.url), 'utf8');
  expect(blocks(shown).length).toBeGreaterThan(10);
  expect(blocks(shown)).toEqual(blocks(readFileSync(drawn, 'utf8')));
  const readme = readFileSync(new URL('../../../README.md', import.meta.url), 'utf8');
  expect(readme).toContain('](docs/memory-map.svg)');
});
