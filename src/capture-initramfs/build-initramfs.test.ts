import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { beforeAll, describe, expect, test } from '@jest/globals';
import { SaveoopsError } from '../errors.js';
import { parseBzImage } from '../formats/bzimage/parse-bzimage.js';
import { withTemporaryFolder } from '../host/files.js';
import { stockKernels } from '../testkit/stock-kernels.js';
import type { GatherOptions } from './capture-files.js';
import {
  buildCaptureInitramfs,
  withFont,
  type CaptureInitramfs,
  type CaptureOptions,
} from './build-initramfs.js';
import { renderConstants } from './constants.js';
import { writeCpioArchive } from './cpio-archive.js';
import { logBegins, logEnds } from './markers.js';
import { findModules } from './module-tree.js';
import { scriptFolder } from './scripts.js';

/** A tool used as oracle, independent of the code under test. */
function oracle(tool: string, args: string[], input?: Uint8Array, cwd?: string): string {
  return execFileSync(tool, args, {
    encoding: 'utf8',
    maxBuffer: 1 << 26,
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
    const implied = [
      'bin',
      'dev',
      'etc',
      'etc/saveoops',
      'lib',
      'lib/saveoops',
      'lib/saveoops/targets',
      'lib64',
      'proc',
      'run',
      'sys',
      'tmp',
    ];
    const links = lines.flatMap((line) => / (bin\/\S+) -> busybox$/.exec(line)?.[1] ?? []);
    expect(links).toContain('bin/sh');
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
      expect(readFileSync(join(folder, 'init'))).toEqual(readFileSync(join(scriptFolder, 'init')));
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

async function stockModules(): Promise<Pick<CaptureOptions, 'modules'>> {
  const { vmlinuz } = stockKernels()[0] ?? { vmlinuz: '' };
  const { release } = parseBzImage(readFileSync(vmlinuz), vmlinuz);
  const tree = await findModules(release, vmlinuz);
  return { modules: tree && { tree, release, extra: [] } };
}

/** What `shfmt --to-json` says of a script, as far as it is looked at: mvdan.cc/sh, syntax.Node. */
interface SyntaxNode {
  readonly Type?: string;
  readonly Args?: readonly { readonly Parts?: readonly SyntaxNode[] }[];
  readonly Name?: { readonly Value: string };
  readonly Value?: string;
}

/** Commands that a script calls, and functions that it has, by a parser of the shell's whole grammar. */
function parsed(script: Uint8Array): { calls: string[]; functions: string[] } {
  const calls: string[] = [];
  const functions: string[] = [];
  const call = (words: readonly string[]): void => {
    const [name = '', ...rest] = words;
    calls.push(name);
    // What runs another command, by how many words stand before that.
    const skip = name === 'timeout' && rest[0] === '-k' ? 3 : runners[name];
    const command = skip === undefined ? [] : rest.slice(skip);
    if (command.length > 0) call(command);
  };
  const visit = (value: unknown): void => {
    if (Array.isArray(value)) value.forEach(visit);
    if (typeof value !== 'object' || value === null) return;
    const node = value as SyntaxNode;
    if (node.Type === 'FuncDecl') functions.push(node.Name?.Value ?? '');
    if (node.Type === 'CallExpr' && node.Args !== undefined) call(node.Args.map(literal));
    Object.values(value).forEach(visit);
  };
  visit(JSON.parse(oracle('shfmt', ['-ln', 'posix', '--to-json'], script)));
  return { calls, functions };
}

const runners: Readonly<Record<string, number>> = {
  ...{ limited: 1, watched: 1, target_put: 1, timeout: 1, setsid: 0, cttyhack: 0 },
};

/** A word as it stands; anything but plain text makes it none that is a name of a command. */
function literal({ Parts = [] }: { readonly Parts?: readonly SyntaxNode[] }): string {
  return Parts.map(({ Type, Value }) => (Type === 'Lit' ? (Value ?? '') : '$')).join('');
}

describe('the scripts', () => {
  const root = scriptFolder;
  const scripts = readdirSync(root, { recursive: true, encoding: 'utf8' })
    .map((path) => join(root, path))
    .filter((path) => statSync(path).isFile());

  test('are those that the archive holds, and constants.sh is what TypeScript says', () => {
    const paths = scripts
      .map((path) => path.slice(root.length))
      .filter((path) => path !== 'bin/load-modules');
    const inside = built.files.filter(({ source }) => source === 'saveoops').map(({ path }) => path);
    expect(inside.sort()).toEqual(
      [...paths, 'bin/console-mode', 'bin/draw-qr', 'bin/read-log', 'etc/saveoops/generator'].sort(),
    );
    expect(readFileSync(join(root, 'lib/saveoops/constants.sh'), 'utf8')).toBe(renderConstants());
  });

  test.each(scripts.map((path) => path.slice(root.length)))('busybox sh can read %s', (path) => {
    oracle('busybox', ['sh', '-n', join(root, path)]);
  });

  test('call nothing that the initramfs does not have', async () => {
    const modules = await buildCaptureInitramfs({ ...(await stockModules()), dumps: true });
    const names = oracle('cpio', ['-it', '--quiet'], gunzipSync(modules.bytes)).split('\n');
    const inside = new Set(names.map((name) => name.replace(/^bin\//, '')));
    const trees = scripts.map((path) => parsed(readFileSync(path)));
    const functions = new Set(trees.flatMap((tree) => tree.functions));
    const calls = [...new Set(trees.flatMap((tree) => tree.calls))].filter((name) => /^[a-z]/.test(name));
    expect(calls.length).toBeGreaterThan(60);
    // Of a builtin busybox says so; what is none must be a link or a program, but for the two that an option adds.
    const said = oracle('busybox', [
      'sh',
      '-c',
      'PATH=/nowhere; echo; for each; do command -V $each; done; :',
      'sh',
      ...calls,
    ]);
    const builtin = (name: string): boolean =>
      said.includes(`\n${name} is a shell builtin\n`) ||
      said.includes(`\n${name} is a special shell builtin\n`);
    const optional = ['age', 'extlinux'];
    const missing = calls.filter((name) => !functions.has(name) && !builtin(name) && !inside.has(name));
    expect(missing.sort()).toEqual(optional);
  });

  test('bring no link without a word that asks for it', () => {
    const links = oracle('cpio', ['-itv', '--quiet'], archive).match(/ bin\/\S+ -> busybox/g) ?? [];
    const text = scripts.map((path) => readFileSync(path, 'utf8')).join('');
    for (const link of links) expect(text).toContain(/bin\/(\S+)/.exec(link)?.[1]);
    expect(links.length).toBeLessThan(90);
  });
});

test('the font is in an archive behind the first, and costs its pages', async () => {
  const font = Buffer.from(Array.from({ length: 4096 }, (_, i) => i % 251));
  const both = await withFont(built, font);
  expect(Buffer.from(both.bytes.subarray(0, built.bytes.length)).equals(built.bytes)).toBe(true);
  const second = gunzipSync(both.bytes.subarray(built.bytes.length));
  const names = oracle('cpio', ['-it', '--quiet'], second).trim().split('\n');
  expect(names).toEqual(['lib', 'lib/saveoops', 'lib/saveoops/font']);
  const text = execFileSync('cpio', ['-i', '--to-stdout', '--quiet', 'lib/saveoops/font'], { input: second });
  expect(text.equals(font)).toBe(true);
  expect(both.unpackedSize).toBe(built.unpackedSize + 4096);
  expect(await withFont(built, new Uint8Array())).toBe(built);
});

test('init prints the shared markers', () => {
  const script = readFileSync(join(scriptFolder, 'init'), 'utf8');
  const constants = readFileSync(join(scriptFolder, 'lib/saveoops/constants.sh'), 'utf8').split('\n');
  expect(constants).toEqual(expect.arrayContaining([`LOG_BEGINS='${logBegins}'`, `LOG_ENDS='${logEnds}'`]));
  for (const name of ['LOG_BEGINS', 'LOG_ENDS'])
    expect(script).toMatch(new RegExp(`^ *echo "\\$${name}"$`, 'm'));
});
