import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Ajv } from 'ajv';
import { configKeys } from '../commands/options.js';
import { SaveoopsError } from '../errors.js';
import { oracle, runSaveoops } from '../testkit/command-line.js';
import { stockKernels } from '../testkit/stock-kernels.js';
import { parseConfig, readConfigFile } from './config-file.js';

const kernel = stockKernels()[0]?.vmlinuz ?? '';
const schemaFile = fileURLToPath(new URL('../../../saveoops.schema.json', import.meta.url));
let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'saveoops-config-'));
});
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

const file = (name: string, text: string): string => {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
};

/** What parseConfig says of `text`: its values, or its error. */
function verdict(text: string | Uint8Array): Readonly<Record<string, unknown>> | SaveoopsError {
  try {
    return parseConfig(Buffer.from(text), 'c.yaml', configKeys);
  } catch (error) {
    if (error instanceof SaveoopsError) return error;
    throw error;
  }
}

describe('values', () => {
  test.each([
    ['append: root=/dev/sda1 ro', { append: 'root=/dev/sda1 ro' }],
    ['append: "a # b"  # comment', { append: 'a # b' }],
    ['initrd: /a', { initrd: ['/a'] }],
    ['initrd: [/a, "/b c"]', { initrd: ['/a', '/b c'] }],
    ['initrd:\n  - /a\n  - /b\nreset-vga: true', { initrd: ['/a', '/b'], 'reset-vga': true }],
    ['\ufeffformat: bzimage\r\n', { format: 'bzimage' }],
    ['---\n# nothing\n', {}],
    ['', {}],
  ])('%j', (text, values) => {
    expect(verdict(text)).toEqual(values);
  });
});

describe('refusals name file, line and key', () => {
  test.each([
    ['# one\nkernl: x', 'usage', 'c.yaml, line 2', 'kernl', 'did you mean kernel?'],
    ['crash_size: 1M', 'usage', 'c.yaml, line 1', 'crash_size', 'did you mean crash-size?'],
    ['--append: x', 'usage', 'c.yaml, line 1', '--append', 'did you mean append?'],
    ['config: /etc/other', 'usage', 'c.yaml, line 1', 'config', 'one of kernel, initrd,'],
    ['[a]: b', 'usage', 'c.yaml, line 1', 'a list', 'one of kernel, initrd,'],
    ['append: a\nout: b\nappend: c', 'usage', 'c.yaml, line 3', 'append again', ''],
    ['append: 5', 'usage', 'c.yaml, line 1, key append', 'number 5', 'append: "5"'],
    ['append: a\nreset-vga: yes', 'usage', 'c.yaml, line 2, key reset-vga', 'the text "yes"', 'true'],
    ['%YAML 1.1\n---\nreset-vga: on', 'usage', 'c.yaml, line 3, key reset-vga', 'the text "on"', 'true'],
    ['append:', 'usage', 'c.yaml, line 1, key append', 'nothing', ''],
    ['append: {a: b}', 'usage', 'c.yaml, line 1, key append', 'a map', ''],
    ['initrd:\n- a\n- [b]', 'usage', 'c.yaml, line 2, key initrd', 'a list with a list in it', ''],
    ['format: elf', 'usage', 'c.yaml, line 1, key format', 'the text "elf"', ''],
    ['append: &a x', 'format', 'c.yaml, line 1, key append', 'the anchor &a', ''],
    ['append: x\ncrash-append: *a', 'format', 'c.yaml, line 2, key crash-append', 'the alias *a', ''],
    ['append: !!str 5', 'format', 'c.yaml, line 1, key append', 'the tag', ''],
    ['append: x\n<<: {out: y}', 'usage', 'c.yaml, line 2', '<<', ''],
    ['- append', 'format', 'c.yaml, line 1', 'a list', ''],
    ['append: x\n---\nappend: y', 'format', 'c.yaml, line 2', 'multiple documents', ''],
    ['append: a\nout: "b', 'format', 'c.yaml, line 2', 'quote', ''],
    ['append: a: b', 'format', 'c.yaml, line 1', 'mappings', ''],
  ])('%j: %s', (text, kind, where, found, hint) => {
    const error = verdict(text) as SaveoopsError;
    expect(error).toMatchObject({ kind, where });
    expect(error.found).toContain(found);
    expect(error.hint ?? '').toContain(hint);
  });

  test('bytes that are no text', () => {
    expect(verdict(Uint8Array.of(0x61, 0xff, 0xfe))).toMatchObject({ kind: 'format', where: 'c.yaml' });
  });
});

describe('hostile files are refused, each in less than 5 seconds', () => {
  const levels = [...'bcdefghijklmno'].map(
    (name, i) =>
      `- &${name} [${Array(9)
        .fill(`*${'abcdefghijklmn'[i] ?? ''}`)
        .join(', ')}]`,
  );
  const texts = new Map([
    ['a bomb of aliases', `initrd:\n- &a [x, x]\n${levels.join('\n')}\n`],
    ['nested lists', '['.repeat(65_000)],
    ['nested maps', '{a: '.repeat(16_000)],
    ['nested compact lists', '- '.repeat(32_000)],
    ['nested explicit keys', '? '.repeat(32_000)],
    ['nested empty keys', ': '.repeat(32_000)],
    ['nested by indentation', Array.from({ length: 350 }, (_, i) => `${' '.repeat(i)}a:`).join('\n')],
    ['nested lists by indentation', Array.from({ length: 350 }, (_, i) => `${' '.repeat(i)}-`).join('\n')],
    ['thousands of keys', Array.from({ length: 8000 }, (_, i) => `k${i}: 1`).join('\n')],
    ['one key a thousand times', 'append: x\n'.repeat(6500)],
    ['anchors without end', `append: ${'&a '.repeat(20_000)}`],
    ['a long key', `? ${'k'.repeat(60_000)}\n: 1`],
    ['10 MB', `append: ${'x'.repeat(10_000_000)}`],
    ['merges of merges', `<<: &a {<<: &b {<<: [*a, *b]}}`],
  ]);
  // Names only: jest would print the texts.
  test.each([...texts.keys()])('%s', (name) => {
    const started = performance.now();
    const said = verdict(texts.get(name) ?? '');
    expect(performance.now() - started).toBeLessThan(5000);
    // Values that were taken by mistake are too large to be printed.
    expect(said instanceof SaveoopsError ? said.kind : 'taken').toMatch(/^(format|usage)$/);
  });

  test('a large file is not read', async () => {
    const path = file('large.yaml', '');
    oracle('truncate', ['-s', '100G', path]);
    await expect(readConfigFile(path, '/nowhere', configKeys)).rejects.toMatchObject({ kind: 'format' });
  });
});

describe('which file is read', () => {
  test('the standard one if it exists, unless another or none is asked for', async () => {
    const standard = file('standard.yaml', 'append: standard');
    const other = file('other.yaml', 'append: other');
    const read = async (asked: string | false | undefined, path = standard): Promise<unknown> =>
      (await readConfigFile(asked, path, configKeys))?.values;
    expect(await read(undefined)).toEqual({ append: 'standard' });
    expect(await read(other)).toEqual({ append: 'other' });
    expect(await read(false)).toBeUndefined();
    expect(await read(undefined, join(folder, 'missing'))).toBeUndefined();
    await expect(read(join(folder, 'missing'))).rejects.toMatchObject({ kind: 'file' });
    await expect(read(folder)).rejects.toMatchObject({ kind: 'file' });
  });
});

describe('the command line', () => {
  test('a flag wins over the file; saveoops config prints a file that says the same', () => {
    const path = file('c.yaml', 'append: "#file: yes"\nreset-vga: true\nreset-pic: true\ninitrd: [/a, /b]\n');
    const { status, stdout } = runSaveoops(
      ['config', '--config', path, '--initrd', '/c', '--no-reset-pic', '--crash-append', '5'],
      folder,
    );
    expect(status).toBe(0);
    expect(verdict(stdout)).toMatchObject({
      append: '#file: yes',
      'reset-vga': true,
      'reset-pic': false,
      initrd: ['/c'],
      'crash-append': '5',
      format: 'com32',
    });
    const again = runSaveoops(['config', '--config', file('again.yaml', stdout)]);
    expect(again.stdout.split('\n').slice(1)).toEqual(stdout.split('\n').slice(1));
  });

  test('build takes everything from the file, what it demands included', () => {
    const initrd = file('initrd.img', 'initrd');
    const common = { kernel, initrd: [initrd], append: 'ro "a b"', 'oops-panic': true, 'crash-size': '200M' };
    const path = file('build.yaml', JSON.stringify({ ...common, out: join(folder, 'by-file') }));
    const byFile = runSaveoops(['build', '--config', path]);
    expect([byFile.status, byFile.stderr]).toEqual([0, '']);
    const flags = ['--kernel', kernel, '--initrd', initrd, '--append', 'ro "a b"', '--oops-panic'];
    const byFlags = runSaveoops(
      ['build', '--no-config', ...flags, '--crash-size=200M', '--out=by-flags'],
      folder,
    );
    expect([byFlags.status, byFlags.stderr]).toEqual([0, '']);
    oracle('diff', ['-r', join(folder, 'by-file'), join(folder, 'by-flags')]);
  }, 120_000);

  test.each([
    [['--config', 'kernl.yaml'], 64, 'kernl.yaml, line 1'],
    [['--config', 'missing.yaml'], 74, 'missing.yaml'],
    [['--config'], 64, 'Not enough arguments'],
    [['--config', 'kernl.yaml', '--no-config'], 64, '--config given 2 times'],
    [['--no-config'], 64, 'Missing required arguments: kernel'],
  ])('build %j: exit code %d', (args, status, text) => {
    file('kernl.yaml', 'kernl: x');
    const run = runSaveoops(['build', ...args], folder);
    expect([run.status, run.stdout]).toEqual([status, '']);
    expect(run.stderr).toContain(text);
  });

  test('--help and other commands do not read it', () => {
    const path = file('wrong.yaml', 'kernl: x');
    expect(runSaveoops(['build', '--config', path, '--help']).status).toBe(0);
    expect(runSaveoops(['inspect', path]).status).toBe(65);
  });
});

describe('saveoops.schema.json', () => {
  const schema = JSON.parse(readFileSync(schemaFile, 'utf8')) as { properties: Record<string, object> };

  test('is a JSON schema, and has a property for each option that config --help shows', () => {
    const ajv = new Ajv({ strict: true, allowUnionTypes: true });
    expect([ajv.validateSchema(schema), ajv.errors]).toEqual([true, null]);
    const help = runSaveoops(['config', '--help']).stdout;
    const shown = [...help.matchAll(/^ +--([a-z-]+)/gm)].map(([, name]) => name ?? '');
    const ofAll = ['config', 'help', 'version', 'quiet', 'verbose'];
    const expected = shown.filter((name) => !ofAll.includes(name));
    expect(expected.length).toBeGreaterThan(10);
    expect(Object.keys(schema.properties)).toEqual(expected);
  });

  test('accepts what the reader accepts, and nothing else: every key with values of every type', () => {
    const valid = new Ajv().compile(schema);
    const values = ['text', '', 'com32', 5, -1.5, true, false, null, [], ['a', 'b'], ['a', 1], [['a']], {}];
    const counts = { accepted: 0, refused: 0 };
    for (const key of [...Object.keys(schema.properties), 'config', 'kernl']) {
      for (const value of values) {
        const sample = { [key]: value };
        const accepted = !(verdict(JSON.stringify(sample)) instanceof SaveoopsError);
        expect([sample, accepted]).toEqual([sample, valid(sample)]);
        counts[accepted ? 'accepted' : 'refused']++;
      }
    }
    expect(Math.min(counts.accepted, counts.refused)).toBeGreaterThan(30);
  });
});
