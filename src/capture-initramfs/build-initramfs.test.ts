import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { beforeAll, describe, expect, test } from '@jest/globals';
import { SaveoopsError } from '../errors.js';
import { withTemporaryFolder } from '../host/files.js';
import type { GatherOptions } from './capture-files.js';
import { bootOnceApplets, bootOnceScript } from './boot-once.js';
import { buildCaptureInitramfs, type CaptureInitramfs } from './build-initramfs.js';
import { writeCpioArchive } from './cpio-archive.js';
import { feedWatchdogApplets, feedWatchdogScript } from './feed-watchdog.js';
import { initApplets, initScript } from './init.js';
import { loadModulesApplets, loadModulesScript } from './load-modules.js';
import { logBegins, logEnds } from './markers.js';
import { saveCaptureApplets, saveCaptureScript } from './save-capture.js';
import { saveDumpApplets, saveDumpScript } from './save-dump.js';

/** A tool used as oracle, independent of the code under test. */
function oracle(tool: string, args: string[], input?: Uint8Array, cwd?: string): string {
  return execFileSync(tool, args, {
    encoding: 'utf8',
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { ...process.env, LC_ALL: 'C', TZ: 'UTC' },
    ...(input === undefined ? {} : { input }),
    ...(cwd === undefined ? {} : { cwd }),
  });
}

async function refusal(work: Promise<unknown>): Promise<SaveoopsError> {
  try {
    await work;
  } catch (error) {
    if (error instanceof SaveoopsError) return error;
    throw error;
  }
  throw new Error('nothing was refused');
}

let built: CaptureInitramfs;
let archive: Uint8Array;

beforeAll(async () => {
  built = await buildCaptureInitramfs();
  archive = gunzipSync(built.bytes);
});

describe('the capture initramfs', () => {
  test('cpio lists it: root owns all, no device nodes, nothing outside the plan', () => {
    const lines = oracle('cpio', ['-itv', '--quiet'], archive).trimEnd().split('\n');
    for (const line of lines) expect(line).toMatch(/^[-dl]\S+ +\d+ root +root .* Jan +1 +2000 /);
    const names = lines.map((line) => line.split(/ 2000 /)[1]?.split(' -> ')[0]);
    const implied = ['bin', 'dev', 'etc', 'etc/saveoops', 'lib', 'lib64', 'proc', 'run', 'sys', 'tmp'];
    const applets = new Set([
      ...initApplets,
      ...feedWatchdogApplets,
      ...saveCaptureApplets,
      ...saveDumpApplets,
      ...bootOnceApplets,
    ]);
    const links = [...applets].map((name) => `bin/${name}`);
    expect(names).toEqual([...implied, ...links, ...built.files.map((file) => file.path)].sort());
  });

  test('holds byte for byte the files of this machine', async () => {
    await withTemporaryFolder(async (folder) => {
      oracle('cpio', ['-id', '--quiet', '--no-preserve-owner'], archive, folder);
      let pages = 0;
      for (const file of built.files) {
        const bytes = readFileSync(join(folder, file.path));
        expect(bytes.length).toBe(file.size);
        expect(createHash('sha256').update(bytes).digest('hex')).toBe(file.sha256);
        if (file.source !== 'saveoops') expect(bytes.equals(readFileSync(file.source))).toBe(true);
        pages += Math.ceil(bytes.length / 4096);
      }
      expect(built.unpackedSize).toBe(pages * 4096);
      expect(readFileSync(join(folder, 'init'), 'utf8')).toBe(initScript);
      // The unpacked tree is enough to start the program: nothing of this machine's /lib is used.
      const loader = join(folder, 'lib64/ld-linux-x86-64.so.2');
      const program = join(folder, 'bin/vmcore-dmesg');
      const map = oracle(loader, ['--library-path', join(folder, 'lib'), '--list', program]);
      for (const line of map.split('\n').filter((each) => each.includes(' => '))) {
        expect(line).toContain(` => ${folder}/`);
      }
    });
  });

  test('brings the loader and every library that readelf finds needed', () => {
    const inside = new Set(built.files.map((file) => basename(file.path)));
    for (const file of built.files.filter((each) => each.source !== 'saveoops')) {
      const dynamic = oracle('readelf', ['-d', '-l', '-W', file.source]);
      for (const [, name] of dynamic.matchAll(/\(NEEDED\).*\[(.*)\]/g)) expect(inside).toContain(name);
      const interpreter = /program interpreter: (.*)\]/.exec(dynamic)?.[1];
      const isProgram = file.path.startsWith('bin/');
      if (isProgram && interpreter !== undefined) {
        expect(built.files.map((each) => `/${each.path}`)).toContain(interpreter);
      }
    }
  });

  test('finds the libraries of libraries, as for kexec', async () => {
    const kexec = { name: 'kexec', places: ['/usr/sbin/kexec', '/sbin/kexec'], debianPackage: 'kexec-tools' };
    const { files } = await buildCaptureInitramfs({ programs: [kexec] });
    const inside = new Set(files.map((file) => basename(file.path)));
    for (const file of files.filter((each) => each.source !== 'saveoops')) {
      const dynamic = oracle('readelf', ['-d', '-W', file.source]);
      for (const [, name] of dynamic.matchAll(/\(NEEDED\).*\[(.*)\]/g)) expect(inside).toContain(name);
    }
  });

  test('has makedumpfile for dumps, age for encrypted ones, only then', async () => {
    const paths = async (options: GatherOptions): Promise<string[]> => {
      const { files } = await buildCaptureInitramfs(options);
      return files.map((file) => file.path);
    };
    const plain = built.files.map((file) => file.path);
    const added = (all: readonly string[]): string[] => all.filter((path) => !plain.includes(path));
    expect(added(await paths({ dumps: true }))).toContain('bin/makedumpfile');
    expect(plain).not.toContain('bin/makedumpfile');
    const dumpKey = Buffer.from('# none');
    expect(added(await paths({ dumpKey }))).toEqual(['etc/saveoops/dump-key', 'bin/age']);
  });

  test('takes programs, libraries and the loader from a given folder first', async () => {
    await withTemporaryFolder(async (folder) => {
      const own: Record<string, string> = {
        'bin/vmcore-dmesg': '/usr/sbin/vmcore-dmesg',
        'lib/libc.so.6': '/lib/x86_64-linux-gnu/libc.so.6',
        'lib64/ld-linux-x86-64.so.2': '/lib64/ld-linux-x86-64.so.2',
      };
      for (const source of Object.values(own)) copyFileSync(source, join(folder, basename(source)));
      const { files } = await buildCaptureInitramfs({ toolFolder: folder });
      const sources = new Map(files.map((file) => [file.path, file.source]));
      for (const path of Object.keys(own)) expect(sources.get(path)).toBe(join(folder, basename(path)));
      expect(sources.get('bin/busybox')).not.toContain(folder);
    });
  });

  test('two builds give the same bytes', async () => {
    const again = await buildCaptureInitramfs();
    expect(Buffer.compare(again.bytes, built.bytes)).toBe(0);
  });
});

describe('writeCpioArchive', () => {
  const entries = [
    { path: 'b/second', mode: 0o640, kind: 'file', bytes: Buffer.from('two') },
    { path: 'b/first', mode: 0o755, kind: 'link', target: 'second' },
    { path: 'a', mode: 0o700, kind: 'directory' },
  ] as const;

  test('gives the same bytes whatever the user, the umask and the order of the entries', async () => {
    const ours = await writeCpioArchive(entries);
    const before = process.umask(0o077);
    try {
      expect(Buffer.compare(await writeCpioArchive([...entries].reverse()), ours)).toBe(0);
    } finally {
      process.umask(before);
    }
    if (process.getuid?.() !== 0) return; // only root can become somebody else
    process.seteuid?.(65534);
    try {
      expect(Buffer.compare(await writeCpioArchive(entries), ours)).toBe(0);
    } finally {
      process.seteuid?.(0);
    }
  });

  test('keeps modes, targets and contents', async () => {
    const listing = oracle('cpio', ['-itv', '--quiet'], await writeCpioArchive(entries));
    const rows = listing
      .trimEnd()
      .split('\n')
      .map((line) => `${line.slice(0, 10)} ${line.split(/ 2000 /)[1]}`);
    expect(rows).toEqual([
      'drwx------ a',
      'drwxr-xr-x b',
      'lrwxrwxrwx b/first -> second',
      '-rw-r----- b/second',
    ]);
  });

  test('refuses a path that is given twice', async () => {
    const error = await refusal(writeCpioArchive([...entries, ...entries]));
    expect(error.kind).toBe('file');
  });
});

describe('what the machine lacks', () => {
  test('no busybox: the apt line', async () => {
    const error = await refusal(buildCaptureInitramfs({ busyboxPlaces: ['/nowhere/busybox'] }));
    expect(error).toMatchObject({ kind: 'tool', hint: 'apt-get install busybox-static' });
  });

  test('a dynamic busybox: says so', async () => {
    await withTemporaryFolder(async (folder) => {
      const path = join(folder, 'busybox');
      copyFileSync('/bin/ls', path);
      const error = await refusal(buildCaptureInitramfs({ busyboxPlaces: [path] }));
      expect(error).toMatchObject({ kind: 'tool', where: path, hint: 'apt-get install busybox-static' });
      expect(error.found).toContain('/lib64/ld-linux-x86-64.so.2');
    });
  });

  test('a busybox that is no program: says what it is', async () => {
    await withTemporaryFolder(async (folder) => {
      const path = join(folder, 'busybox');
      writeFileSync(path, '#!/bin/sh\n');
      const error = await refusal(buildCaptureInitramfs({ busyboxPlaces: [path] }));
      expect(error).toMatchObject({ kind: 'tool', where: path });
      expect(error.found).toContain('#!/');
    });
  });

  test('no vmcore-dmesg: the apt line', async () => {
    const programs = [{ name: 'vmcore-dmesg', places: ['/nowhere/it'], debianPackage: 'kexec-tools' }];
    const error = await refusal(buildCaptureInitramfs({ programs }));
    expect(error).toMatchObject({ kind: 'tool', hint: 'apt-get install kexec-tools' });
  });

  test('a library that is nowhere: names it and who needs it', async () => {
    await withTemporaryFolder(async (folder) => {
      const path = join(folder, 'program');
      const bytes = readFileSync('/bin/ls');
      bytes.write('libX', bytes.indexOf('libc.so.6\0'), 'latin1');
      writeFileSync(path, bytes);
      const error = await refusal(
        buildCaptureInitramfs({
          programs: [{ name: 'program', places: [path], debianPackage: 'coreutils' }],
        }),
      );
      expect(error).toMatchObject({ kind: 'tool', message: 'libX.so.6 is not installed' });
      expect(error.where).toContain(path);
    });
  });
});

/** What stands where a command may stand, once strings, comments, arithmetic and the patterns of `case` are gone. */
function commandWords(script: string): string[] {
  const code = script
    .replace(/(^|\s)#.*$/gm, '')
    .replace(/'[^']*'|"(?:\\.|[^"\\])*"/g, '')
    .replace(/\$\(\(+/g, '$[')
    .replace(/^[^(\n]*\)(?= |$)/gm, '');
  return [
    ...code.matchAll(
      /(?:^|[|(;{!]|&&|\b(?:then|do|(?:limited|watched|timeout(?: -k \S+)?) \S+))\s*([a-z][a-z0-9-]*)(?= |$)(?! [-+*/] )/gm,
    ),
  ].flatMap(([, word]) => word ?? []);
}

describe.each([
  ['init', initScript, initApplets],
  ['boot-once', bootOnceScript, bootOnceApplets],
  ['feed-watchdog', feedWatchdogScript, feedWatchdogApplets],
  ['save-capture', saveCaptureScript, saveCaptureApplets],
  ['save-dump', saveDumpScript, saveDumpApplets],
  ['load-modules', loadModulesScript, [...initApplets, ...loadModulesApplets]],
] as const)('%s', (name, script, links) => {
  test('is a script that busybox sh can read', async () => {
    await withTemporaryFolder(async (folder) => {
      const path = join(folder, name);
      writeFileSync(path, script);
      oracle('busybox', ['sh', '-n', path]);
    });
    expect(script).not.toMatch(/undefined|NaN|\[object/);
  });

  test('calls nothing that the initramfs does not have', () => {
    const applets = new Set(oracle('busybox', ['--list']).trim().split('\n'));
    for (const link of links) expect(applets).toContain(link);
    const words = commandWords(script);
    expect(words.length).toBeGreaterThan(20);
    const shell = new Set(
      (
        'case if then else elif fi do done while until for esac echo export set kill wait return shift exit read exec ' +
        'umask break continue busybox vmcore-dmesg makedumpfile blkid load-modules save-capture save-dump ' +
        'feed-watchdog boot-once extlinux'
      ).split(' '),
    );
    const own = new Set([...script.matchAll(/^([a-z_]+)\(\) \{/gm)].map((match) => match[1]));
    for (const word of words) {
      if (!shell.has(word) && !own.has(word)) expect([word, links.includes(word)]).toEqual([word, true]);
    }
  });
});

test('init prints the shared markers', () => {
  expect(initScript.split('\n').map((line) => line.trim())).toEqual(
    expect.arrayContaining([`echo "${logBegins}"`, `echo "${logEnds}"`]),
  );
});
