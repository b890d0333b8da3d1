/** Claims of docs/security.md that no test of a single part holds: hostile files, as a user gives them to the commands. */
import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from '@jest/globals';
import { sha256 } from './bytes/digests.js';
import { writeCpioArchive } from './capture-initramfs/cpio-archive.js';
import { configTemplate, namesBeside } from './compose/payload-files.js';
import { renderSyslinuxConfig } from './config/syslinux-config.js';
import { parseBootConfig } from './image/boot-config.js';
import { makeReport } from './report/report.js';
import { findFallback } from './system/fallback.js';
import { writeBzImage } from './testkit/bzimage-writer.js';
import { runSaveoops } from './testkit/command-line.js';
import { deathLogs } from './testkit/death-logs.js';
import { writeElf } from './testkit/elf-writer.js';
import { sampleManifest } from './testkit/sample-manifest.js';

const folder = mkdtempSync(join(tmpdir(), 'saveoops-security-'));
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

/** What a shell would run, redirect or expand. Nothing of it needs a program: `>pwned` alone makes a file. */
const shellAttacks = [
  '$(>pwned)',
  '`>pwned`',
  ';>pwned;',
  "';>pwned;'",
  '";>pwned;"',
  '|>pwned|',
  '&>pwned&',
  '\n>pwned\n',
];

describe('a hostile kernel', () => {
  test.each(['6.1/../../../etc', '..', '.', '/etc', '6.1\nLABEL x', '6.1\x1b[2J', '6.1\x9b', ''])(
    'with the release %j: refused, nothing written',
    (version) => {
      writeFileSync(join(folder, 'vmlinuz'), writeBzImage({ version: `${version} (a@b)` }));
      const args = [
        'build',
        '--no-config',
        '--kernel',
        join(folder, 'vmlinuz'),
        '--out',
        join(folder, 'out'),
      ];
      const { status, stdout } = runSaveoops(args);
      expect([status, stdout, existsSync(join(folder, 'out'))]).toEqual([65, '', false]);
    },
  );
});

describe('names of files', () => {
  const names = [
    ...shellAttacks,
    'a b',
    'a\nLABEL x\n',
    'a,b',
    '..',
    '.',
    '-x',
    '@KERNEL@',
    '$&',
    '\x1b[2J',
    'é',
  ];

  test('become words of Syslinux, and nothing else of its configuration', () => {
    const [kernelFile = '', ...initrdFiles] = namesBeside(
      names.map((name) => `/boot/${name.replaceAll('/', '_')}`),
    );
    const config = renderSyslinuxConfig(readFileSync(configTemplate, 'utf8'), {
      ...{ release: '6.1.0', kernelFile, initrdFiles, initrdBeside: true, append: 'ro', oopsPanic: false },
      ...{ crashKernelFile: kernelFile, crashInitrdFile: 'saveoops-capture.img', crashAppend: 'quiet' },
      afterReset: true,
    });
    const { entries } = parseBootConfig(config);
    expect(entries.map(({ label }) => label)).toEqual([
      'saveoops',
      'saveoops-plain',
      'saveoops-crash',
      'saveoops-test',
      'saveoops-test-reset',
    ]);
    expect(entries[1]).toMatchObject({ file: kernelFile, initrds: initrdFiles });
    expect(entries[0]?.append).toBe(`initrd=${initrdFiles.join(',')} ro`);
    for (const name of [kernelFile, ...initrdFiles]) expect(name).toMatch(/^[A-Za-z0-9._+-]+$/);
  });

  test('of a release do not act as patterns of a replacement', () => {
    const rendered = renderSyslinuxConfig('# @RELEASE@ @KERNEL@\n', {
      ...{ release: "$&$'@KERNEL@", kernelFile: 'vmlinuz', initrdFiles: [], initrdBeside: false, append: '' },
      ...{ oopsPanic: false, crashKernelFile: '', crashInitrdFile: '', crashAppend: '', afterReset: false },
    });
    expect(rendered).toBe("# $&$'@KERNEL@ vmlinuz\n");
  });

  test.each(['../x', 'a/../../x', '/etc/x', 'lib//x', './x', '', 'lib/', 'a\0b'])(
    'of members of the capture initramfs do not lead out of it: %j',
    async (path) => {
      const entry = { path, mode: 0o644, kind: 'file', bytes: new Uint8Array() } as const;
      await expect(writeCpioArchive([entry])).rejects.toMatchObject({ kind: 'format' });
    },
  );
});

describe('a hostile payload', () => {
  const payload = (manifest: unknown): string => {
    const text = Buffer.from(JSON.stringify(manifest));
    const file = join(folder, 'hostile.c32');
    const sections = [
      { name: '.saveoops.manifest', bytes: text },
      { name: '.saveoops.digest', bytes: sha256(text) },
    ];
    writeFileSync(file, writeElf(sections));
    return file;
  };
  const { primary } = sampleManifest;

  test.each([
    ['kernelFile', '../outside'],
    ['initrdFiles', ['../outside']],
    ['release', '../../outside'],
    ['append', 'ro\nLABEL x'],
  ])('repack: %s %j is refused, and nothing is read or written by that name', (key, value) => {
    const file = payload({ ...sampleManifest, primary: { ...primary, [key]: value } });
    mkdirSync(join(folder, 'in'), { recursive: true });
    const { status, stderr } = runSaveoops(['repack', file, '--append', 'x', '--out', join(folder, 'in')]);
    expect([status, stderr]).toEqual([65, expect.stringContaining('not a Saveoops manifest')]);
    expect([existsSync(join(folder, 'outside')), readdirSync(join(folder, 'in'))]).toEqual([false, []]);
  });

  test('inspect: texts of it do not act in a terminal, nor begin lines of their own', () => {
    const edits = [{ what: '\x1b[2J\nreserves  0 MiB of RAM', address: '', before: '', after: '' }];
    const { stdout } = runSaveoops(['inspect', payload({ ...sampleManifest, edits, regions: [] })]);
    expect(stdout).toContain('\\x1b[2J\\x0areserves');
    expect(stdout).not.toMatch(/^reserves {2}0 MiB/m);
  });

  test('image: a configuration that names files elsewhere is refused', () => {
    const dir = join(folder, 'payload');
    for (const name of ['../secret', '/etc/passwd', 'a/../../secret']) {
      rmSync(dir, { recursive: true, force: true });
      mkdirSync(dir);
      writeFileSync(join(folder, 'secret'), 'secret');
      writeFileSync(join(dir, 'saveoops.c32'), 'x');
      writeFileSync(join(dir, 'syslinux.cfg'), `LABEL saveoops\n LINUX ${name}\n`);
      expect(runSaveoops(['image', dir, '--out', join(folder, 'boot.img')]).status).toBe(66);
    }
    expect(existsSync(join(folder, 'boot.img'))).toBe(false);
  });
});

describe('a hostile log', () => {
  test.each(shellAttacks)('makes no command line that does more than it says: %j', (attack) => {
    const shown = attack.replaceAll('\n', '\\n');
    const real = deathLogs().find(
      ({ name, release }) => name === 'panic-in-module' && release.startsWith('6.1.'),
    );
    const log = (real?.text ?? '')
      .replace(/Linux version \S+ \(/, `Linux version 6.1.0${shown} (debian ${shown} Debian 1${shown} (`)
      .replaceAll(/RIP: 0010:\S+/g, `RIP: 0010:f${shown}+0x1/0x2 [m${shown}]`);
    const where = `/captures/${attack}`;
    for (const copyCommand of [undefined, (file: string): string => `cp ${file} .`]) {
      const capture = {
        ...{ name: 'x', id: '0a0b0c', time: '', incomplete: false, record: undefined, captureLog: undefined },
        ...{ files: [{ name: 'vmcore.age', size: 1 }], logSha256: undefined, copyCommand },
      };
      const { report } = makeReport({ where, log, cut: false, capture });
      const commands = report.next.flatMap(({ command }) => command ?? []);
      expect(commands.length).toBeGreaterThan(2);
      for (const command of commands) {
        const cwd = mkdtempSync(join(folder, 'run-'));
        // No program is found: only what the shell does by itself happens.
        spawnSync('/bin/bash', ['-c', command], { cwd, env: { PATH: '/nowhere' } });
        expect([command, readdirSync(cwd)]).toEqual([command, []]);
      }
    }
  });
});

test('a capture.json that is a link or a named pipe is none', async () => {
  const capture = '20261124T180000Z-6.1.0-a1b2c3';
  const root = join(folder, 'root');
  const place = join(root, 'boot/saveoops', capture);
  mkdirSync(join(root, 'proc'), { recursive: true });
  writeFileSync(join(root, 'proc/cmdline'), `saveoops.fallback=${capture}\n`);
  mkdirSync(place, { recursive: true });
  writeFileSync(join(folder, 'elsewhere'), '{ "message": "secret" }');
  symlinkSync(join(folder, 'elsewhere'), join(place, 'capture.json'));
  expect(await findFallback(root)).toMatchObject({ capture, message: undefined });
  rmSync(join(place, 'capture.json'));
  expect(spawnSync('mkfifo', [join(place, 'capture.json')]).status).toBe(0);
  expect(await findFallback(root)).toMatchObject({ capture, message: undefined });
});

describe('what is run', () => {
  const sources = fileURLToPath(new URL('../../src/', import.meta.url));
  const shipped = readdirSync(sources, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts') && !/\.test\.ts$|^(testkit|fuzz)\//.test(name))
    .map((name) => ({ name, text: readFileSync(join(sources, name), 'utf8') }));

  test('processes are started in these files only', () => {
    const starters = shipped.filter(({ text }) =>
      /import \{[^}]*\b(spawn|exec|execFile|fork|execa)(Sync)?\b[^}]*\} from '(node:child_process|execa)'/.test(
        text,
      ),
    );
    expect(starters.map(({ name }) => name).sort()).toEqual([
      'boot/lock.ts',
      'host/run-tool.ts',
      'machine/machine.ts',
    ]);
  });

  test('and never through a shell that sees an argument of ours: one constant command, for the lock', () => {
    // An option of spawn() or execa(), a program that is run, or the lock's command; the names of shells in a list are none.
    const shells = shipped.filter(({ text }) =>
      /\bshell: (true|['"`/])|\(\s*\[?['"`](\/bin\/)?(ba|da)?sh['"`]|exec cat|\beval\(/.test(text),
    );
    expect(shells.map(({ name }) => name)).toEqual(['boot/lock.ts']);
  });
});

test('docs/security.md names files that there are', () => {
  const root = fileURLToPath(new URL('../../', import.meta.url));
  const text = readFileSync(join(root, 'docs/security.md'), 'utf8');
  const named = [...text.matchAll(/\b(?:src|qemu-tests|stubs|docs)\/[\w./-]*\w/g)].map(([name]) => name);
  expect(named.length).toBeGreaterThan(10);
  expect(named.filter((name) => !existsSync(join(root, name)))).toEqual([]);
});
