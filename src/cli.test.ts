import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { shellWord } from './host/shell-word.js';
import { writeBzImage } from './testkit/bzimage-writer.js';
import { cli, runSaveoops } from './testkit/command-line.js';
import { smallKernel } from './testkit/stock-kernels.js';

// The one that takes less time to decompress.
const kernel = smallKernel().vmlinuz;
let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'saveoops-cli-'));
  mkdirSync(join(folder, 'directory'));
  writeFileSync(join(folder, 'empty'), '');
  writeFileSync(join(folder, 'text'), 'no kernel\n'.repeat(1000));
  writeFileSync(join(folder, 'short'), writeBzImage().subarray(0, 700));
  writeFileSync(join(folder, 'odd-payload'), writeBzImage({ payload: new Uint8Array(4000).fill(7) }));
});
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

/** What every refusal owes to a person: the facts, no stack trace, nothing on stdout. */
function expectRefusal(args: readonly string[], status: number, pattern: RegExp): void {
  const run = runSaveoops(args, folder);
  expect([args, run.status, run.stderr]).toEqual([args, status, run.stderr]);
  expect(run.stderr).toMatch(pattern);
  expect(run.stderr).toMatch(/^saveoops: .*\n {2}where: .*\n {2}found: .*\n {2}wanted: /);
  expect(run.stderr).not.toMatch(/^\s+at |node:|bug, please report/m);
  expect(run.stdout).toBe('');
}

describe('wrong command lines', () => {
  test.each([
    [[], /no command/],
    [['biuld'], /Did you mean build|Unknown/],
    [['build'], /kernel/],
    [['build', '--kernel', kernel], /out/],
    [['build', '--kernel', kernel, '--out', 'o', '--frob'], /frob/],
    [['build', '--kernel', kernel, '--out', 'o', '--format', 'elf'], /format/],
    [['build', '--kernel', kernel, '--out', 'o', '--out', 'p'], /--out given 2 times/],
    [['build', '--kernel', kernel, '--out', 'o', '--crash-size', '12Q'], /not a size/],
    [['build', '--kernel', kernel, '--out', 'o', '--append', 'a\nb'], /line break/],
    [
      ['build', '--kernel', kernel, '--out', 'o', '--oops-panic', '--append', 'ro oops=x'],
      /oops=x in --append/,
    ],
    [['build', '--kernel', kernel, '--out', 'o', '--oops-panic', '--format', 'bzimage'], /your loader/],
    [['build', '--kernel', kernel, '--out', 'o', '--sign-key', 'k', '--sign-cert', 'c'], /--format efi/],
    [['build', '--kernel', kernel, '--out', 'o', '--sign-key', 'k', '--format', 'efi'], /both, or none/],
    [
      ['build', '--kernel', kernel, '--out', 'o', '--crash-initrd', kernel, '--dump', 'full'],
      /--crash-initrd/,
    ],
    [['build', '--kernel', kernel, '--out', 'o', '--save', '/var/crash'], /not a place/],
    [['build', '--kernel', kernel, '--out', 'o', '--save', 'LABEL=a b'], /No spaces/],
    [['build', '--kernel', kernel, '--out', 'o', '--save', 'LABEL=a:/b/../c'], /no \. and \.\./],
    [['build', '--kernel', kernel, '--out', 'o', '--save', 'LABEL=a:b'], /not a place/],
    [['build', '--kernel', kernel, '--out', 'o', '--save', 'UUID='], /not a place/],
    [['build', '--kernel', kernel, '--out', 'o', '--dump', 'some'], /dump/],
    [['build', '--kernel', kernel, '--out', 'o', '--keep', '1000'], /--keep/],
    [['build', '--kernel', kernel, '--out', 'o', '--keep', '1.5'], /--keep/],
    [['build', '--kernel', kernel, '--out', 'o', '--dump-key', 'text'], /a dump to encrypt/],
    [['build', '--kernel', kernel, '--out', 'o', '--crash-initrd', kernel, '--save', 'boot'], /--save/],
    [['build', '--kernel', kernel, '--out', 'o', '--boot-watchdog', '60'], /no --after-reset/],
    [
      ['build', '--kernel', kernel, '--out', 'o', '--after-reset', '--boot-watchdog', '5'],
      /seconds from 10 to 1200/,
    ],
    [['update', '--boot-config', 'x', '--boot-watchdog', '60'], /no --after-reset/],
    [['inspect'], /file|non-option/i],
    [['report'], /capture|non-option/i],
    [['report', 'text', '--redact'], /--bundle/],
    [['captures', 'a', 'b'], /b/],
    [['build', '--kernel', kernel, '--out', 'o', '--keep', 'all'], /--keep\n {2}found: {2}"all"/],
    [['test', '.', '--cpus', 'two'], /cpus\n {2}found: {2}"two"/],
    [['test', '.', '--timeout', '5min'], /--timeout\n {2}found: {2}"5min"/],
    [['test', '.', '--memory', '1536X'], /--memory\n {2}found: {2}"1536X"/],
    [['test', '.', '--memory', '64M'], /--memory\n {2}found: {2}"64M"/],
    [['test', '.', '--panic', 'rm -rf'], /--panic/],
  ] as const)('%j: exit code 64', (args, pattern) => {
    expectRefusal(args, 64, pattern);
    expect(existsSync(join(folder, 'o'))).toBe(false);
  });
});

describe('wrong files', () => {
  test('build --capture-tools without such a folder: exit code 74, nothing written', () => {
    expectRefusal(
      ['build', '--kernel', kernel, '--out', 'out', '--capture-tools', 'nowhere'],
      74,
      /no such file|ENOENT/i,
    );
    expect(existsSync(join(folder, 'out'))).toBe(false);
  });

  test.each([
    ['missing', 74, /no such file|ENOENT/i],
    ['directory', 74, /a directory/],
    ['empty', 65, /./],
    ['text', 65, /./],
    ['short', 65, /./],
    ['odd-payload', 66, /unknown way/],
  ] as const)('build --kernel %s: exit code %d, nothing written', (name, status, pattern) => {
    expectRefusal(['build', '--kernel', name, '--out', 'out'], status, pattern);
    expect(existsSync(join(folder, 'out'))).toBe(false);
  });

  test.each([
    ['missing', 74],
    ['empty', 65],
    ['text', 65],
    [kernel, 65],
  ] as const)('inspect %s: exit code %d', (name, status) => {
    expectRefusal(['inspect', name], status, /./);
  });

  test('an initrd or crash kernel that is missing: exit code 74, nothing written', () => {
    for (const option of ['--initrd', '--crash-kernel', '--crash-initrd']) {
      expectRefusal(['build', '--kernel', kernel, '--out', 'out', option, 'missing'], 74, /missing/);
    }
    expect(existsSync(join(folder, 'out'))).toBe(false);
  });

  test('a crash size that is too small: exit code 67 and the sum, nothing written', () => {
    expectRefusal(
      ['build', '--kernel', kernel, '--out', 'out', '--crash-size', '32M'],
      67,
      /at least .* MiB: /,
    );
    expect(existsSync(join(folder, 'out'))).toBe(false);
  }, 60_000);

  test('test and image of a folder without payload: exit code 74', () => {
    expectRefusal(['test', 'directory'], 74, /./);
    expectRefusal(['image', 'directory', '--out', 'boot.img'], 74, /./);
    expect(readdirSync(folder)).not.toContain('boot.img');
  });

  test('sizes with units are accepted: what is wrong then is the folder', () => {
    for (const memory of ['1536M', '2G', '1024']) {
      expectRefusal(['test', 'directory', '--memory', memory], 74, /directory/);
    }
  });

  test('an output folder in a place where mkdir() answers ENOENT for ever: exit code 74', () => {
    expectRefusal(['build', '--kernel', kernel, '--out', '/proc/saveoops/out'], 74, /\/proc\/saveoops/);
    expectRefusal(['build', '--kernel', kernel, '--out', '/proc/saveoops'], 74, /ENOENT/);
  }, 60_000);

  test('an output folder that is a file: exit code 74', () => {
    expectRefusal(['build', '--kernel', kernel, '--out', 'text'], 74, /text/);
  }, 60_000);
});

describe('help', () => {
  test.each([['--help'], ['build', '--help'], ['--version']])('%s %s: exit code 0', (...args) => {
    const run = runSaveoops(args.filter(Boolean));
    expect([run.status, run.stderr]).toEqual([0, '']);
    expect(run.stdout).not.toBe('');
  });
});

describe('what is said while it works', () => {
  const build = (out: string, ...more: readonly string[]): readonly string[] => [
    ...['build', '--no-config', '--kernel', kernel, '--out', out],
    ...more,
  ];

  test('--quiet: nothing but the exit code, and what --json asks for', () => {
    const run = runSaveoops(build('quiet', '--quiet'), folder);
    expect([run.status, run.stdout, run.stderr]).toEqual([0, '', '']);
    const asked = runSaveoops(['inspect', 'quiet', '--quiet', '--json'], folder);
    expect(JSON.parse(asked.stdout)).toMatchObject({ format: 1 });
    expectRefusal(['inspect', 'text', '--quiet'], 65, /./);
  }, 60_000);

  test('--verbose: every step, and every host tool with its time; --dry-run: nothing is written', () => {
    const run = runSaveoops(build('verbose', '--verbose', '--dry-run'), folder);
    expect(run.status).toBe(0);
    expect(run.stderr).toMatch(/^Arming the kernel$/m);
    expect(run.stderr).toMatch(/^ {2}cpio .* {2}\(\d+\.\d\d s\)$/m);
    expect(run.stdout).toMatch(/^Nothing was written; without --dry-run: saveoops\.c32, /m);
    expect(existsSync(join(folder, 'verbose'))).toBe(false);
  }, 60_000);

  test('build names the command that proves a payload, and none that would refuse what was built', () => {
    expect(runSaveoops(build('whole'), folder).stdout).toMatch(/^Prove it: saveoops test whole$/m);
    const alone = runSaveoops(build('alone', '--format', 'efi'), folder);
    expect([alone.status, alone.stdout.includes('saveoops test')]).toEqual([0, false]);
  }, 60_000);

  test('--dry-run of image and repack: nothing is written', () => {
    expect(runSaveoops(build('payload'), folder).status).toBe(0);
    const before = readdirSync(folder).sort();
    for (const args of [
      ['image', 'payload', '--out', 'boot.img'],
      ['image', 'payload', '--out', 'boot.iso', '--iso'],
      ['repack', 'payload/saveoops.c32', '--append', 'other', '--out', 'repacked'],
    ]) {
      const run = runSaveoops([...args, '--dry-run'], folder);
      expect([args, run.status, run.stderr]).toEqual([args, 0, '']);
      expect(run.stdout).toMatch(/^Nothing was written/m);
    }
    expect(readdirSync(folder).sort()).toEqual(before);
  }, 60_000);

  test.each([
    ['in colour', {}, true],
    ['without, as NO_COLOR says', { NO_COLOR: '1' }, false],
  ] as const)(
    'on a terminal a line tells the step, %s',
    (_, more, coloured) => {
      const environment = Object.fromEntries(
        Object.entries(process.env).filter(([name]) => name !== 'CI' && name !== 'NO_COLOR'),
      );
      const command = [process.execPath, cli, ...build('terminal', '--dry-run')].map(shellWord).join(' ');
      // script(1) gives it a terminal.
      const run = spawnSync('script', ['--quiet', '--return', '--command', command, '/dev/null'], {
        cwd: folder,
        encoding: 'utf8',
        env: { ...environment, TERM: 'xterm', ...more },
      });
      expect([run.status, run.stdout.includes('Nothing was written')]).toEqual([0, true]);
      expect(run.stdout).toContain('Arming the kernel');
      // The cursor is hidden, and comes back.
      expect(run.stdout.lastIndexOf('\x1b[?25h')).toBeGreaterThan(run.stdout.indexOf('\x1b[?25l'));
      expect(run.stdout.includes('\x1b[36m')).toBe(coloured);
    },
    60_000,
  );
});
