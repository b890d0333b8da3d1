/**
 * Every --json is what saveoops-output.schema.json says: runSaveoops() holds each against it, here and in every other test; of `test`
 * test-command.test.ts does, of `status` status.test.ts, of `update` src/boot/update-boot.test.ts.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Ajv } from 'ajv';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { buildInto, runSaveoops } from '../testkit/command-line.js';
import { checkOutput } from '../testkit/output-schema.js';
import { smallKernel } from '../testkit/stock-kernels.js';
import { commandSpecs } from './options.js';

const path = (name: string): string => fileURLToPath(new URL(`../../../${name}`, import.meta.url));
const schema = JSON.parse(readFileSync(path('saveoops-output.schema.json'), 'utf8')) as {
  readonly properties: Readonly<Record<string, object>>;
};
const kernel = smallKernel().vmlinuz;
let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'saveoops-outputs-'));
  buildInto(join(folder, 'payload'), kernel);
  mkdirSync(join(folder, 'captures'));
  writeFileSync(join(folder, 'captures/in-a-row'), '2\n');
}, 60_000);
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

test('the schema is one, and has every command that takes --json', () => {
  expect(new Ajv().validateSchema(schema)).toBe(true);
  const takers = Object.values(commandSpecs).flatMap(({ name, options }) =>
    'json' in options ? [name] : [],
  );
  // What it prints is a program already.
  expect(Object.keys(commandSpecs).filter((name) => !takers.includes(name))).toEqual(['completion']);
  expect(Object.keys(schema.properties).sort()).toEqual([...takers].sort());
});

test.each([
  [['build', '--no-config', '--kernel', kernel, '--out', 'out', '--dry-run'], 0],
  [['repack', 'payload/saveoops.c32', '--append', 'x', '--out', 'new.c32', '--dry-run'], 0],
  [['inspect', 'payload'], 0],
  [['image', 'payload', '--out', 'boot.img', '--dry-run'], 0],
  [['image', 'payload', '--out', 'boot.iso', '--iso', '--dry-run'], 0],
  [['config', '--no-config', '--append', 'ro', '--initrd', 'a', '--initrd', 'b', '--keep', '3'], 0],
  [['booted', '--dir', 'captures'], 0],
  [['captures', 'captures'], 1],
  [['report', path('src/report/fixtures/6.1.0-56-amd64/bug.txt')], 0],
  [['explain', 'console_init', 'payload'], 0],
  [['doctor'], 0],
] as const)(
  '%j',
  (args, status) => {
    const run = runSaveoops([...args, '--json'], folder);
    expect([run.status, run.stderr]).toEqual([status, '']);
    expect(run.stdout).toMatch(/^\{/);
  },
  60_000,
);

test('explain tells the address that was asked for, not only its function', () => {
  const asked = (...more: readonly string[]): string =>
    runSaveoops(['explain', 'do_exit+0x5', 'payload', ...more], folder).stdout;
  const { address } = JSON.parse(asked('--json')) as { readonly address: string };
  expect(asked()).toContain(`panic() in do_exit+0x5 at 0x${(BigInt(address) + 5n).toString(16)}\n`);
}, 60_000);

test('an output with another member, and one without a member, is not of the schema', () => {
  const good = { version: 1, folders: ['a'] };
  checkOutput('booted', JSON.stringify(good));
  expect(() => {
    checkOutput('booted', JSON.stringify({ ...good, more: 1 }));
  }).toThrow(/additional/);
  expect(() => {
    checkOutput('booted', JSON.stringify({ version: 1 }));
  }).toThrow(/folders/);
});
