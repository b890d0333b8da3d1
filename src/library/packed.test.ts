/**
 * The package as others get it: packed, unpacked into a project beside its dependencies, and used by the programs of docs/library.md, in JavaScript and in
 * TypeScript. With a registry in place of links: npm run test:pack.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { oracle, runSaveoops } from '../testkit/command-line.js';
import { smallKernel } from '../testkit/stock-kernels.js';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const kernel = smallKernel().vmlinuz;
let project: string;

beforeAll(() => {
  project = mkdtempSync(join(tmpdir(), 'saveoops-packed-'));
  const modules = join(project, 'node_modules');
  mkdirSync(join(modules, 'saveoops'), { recursive: true });
  run('npm', ['pack', '--ignore-scripts', '--silent', '--pack-destination', project], root);
  const { version, dependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    readonly version: string;
    readonly dependencies: Readonly<Record<string, string>>;
  };
  const archive = join(project, `saveoops-${version}.tgz`);
  run('tar', ['-xzf', archive, '-C', join(modules, 'saveoops'), '--strip-components=1'], root);
  for (const name of [...Object.keys(dependencies), '@types/node']) {
    mkdirSync(dirname(join(modules, name)), { recursive: true });
    symlinkSync(join(root, 'node_modules', name), join(modules, name));
  }
  writeFileSync(join(project, 'package.json'), '{ "type": "module" }');
  const text = readFileSync(join(root, 'docs/library.md'), 'utf8');
  for (const [, code = '', name = ''] of text.matchAll(/^```[jt]s\n(\/\/ ([\w.]+): [^]*?)^```$/gm)) {
    writeFileSync(join(project, name), code);
  }
}, 120_000);

afterAll(() => {
  rmSync(project, { recursive: true, force: true });
});

function run(command: string, args: readonly string[], cwd: string): string {
  const { status, stdout, stderr, error } = spawnSync(command, [...args], { cwd, encoding: 'utf8' });
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}: ${error?.message ?? stdout + stderr}`);
  return stdout;
}

test('JavaScript: builds what the command builds', () => {
  const out = run(process.execPath, ['build.mjs', kernel, 'built'], project);
  expect(out).toMatch(/^saveoops\.c32, \d+ bytes reserved: whole\n$/);
  const same = ['--append', 'root=/dev/sda1 ro', '--reset-vga', '--kernel', kernel, '--out', 'commanded'];
  expect(runSaveoops(['build', '--no-config', ...same], project).status).toBe(0);
  expect(oracle('diff', ['-r', join(project, 'built'), join(project, 'commanded')])).toBe('');
}, 120_000);

test('TypeScript: the declarations stand by themselves, and what is compiled with them repacks', () => {
  const compilerOptions = { module: 'NodeNext', target: 'ES2022', strict: true, types: ['node'] };
  writeFileSync(
    join(project, 'tsconfig.json'),
    JSON.stringify({ compilerOptions: { ...compilerOptions, skipLibCheck: false }, include: ['*.ts'] }),
  );
  run(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', project], project);
  const out = run(process.execPath, ['repack.js', 'built/saveoops.c32', 'repacked'], project);
  expect(out).toMatch(/^saveoops\.c32, .*saveoops\.json: \d+ bytes\n$/);
  expect(readFileSync(join(project, 'repacked/syslinux.cfg'), 'utf8')).toContain('root=/dev/sdb1 ro');
}, 120_000);

test('other files of the package are not to be had', () => {
  writeFileSync(join(project, 'deep.mjs'), "import 'saveoops/dist/src/errors.js';");
  expect(() => run(process.execPath, ['deep.mjs'], project)).toThrow('ERR_PACKAGE_PATH_NOT_EXPORTED');
});
