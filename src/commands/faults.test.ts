/**
 * `saveoops build` and `image` when something goes wrong from outside. What the other side of it is: src/host/files.test.ts for
 * each step of writing, src/boot/update-boot.test.ts for `update`.
 */
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { buildInto, oracle, runSaveoops, type CommandResult } from '../testkit/command-line.js';
import { canMountDisks, onSmallDisk } from '../testkit/small-disk.js';
import { smallKernel, stockKernels } from '../testkit/stock-kernels.js';
import { canTrace } from '../testkit/tracing.js';

const cli = fileURLToPath(new URL('../cli.js', import.meta.url));
const stock = smallKernel();
const limit = 120_000;

const folder = mkdtempSync(join(tmpdir(), 'saveoops-faults-'));
const at = (name: string): string => join(folder, name);
const kernel = at('vmlinuz');
const initrd = at('initrd.img');
const build = (out: string, ...more: readonly string[]): string[] => [
  ...['build', '--no-config', '--kernel', kernel, '--initrd', initrd, '--append', 'root=/dev/sda1'],
  ...['--out', out, ...more],
];
/** Names and bytes. */
const filesOf = (path: string): Record<string, string> =>
  Object.fromEntries(
    readdirSync(path)
      .sort()
      .map((name) => [name, oracle('sha256sum', [join(path, name)]).slice(0, 64)]),
  );
const copyOf = (name: string): string => {
  rmSync(at(name), { recursive: true, force: true });
  oracle('cp', ['-a', at('before'), at(name)]);
  return at(name);
};
const expectTyped = (stderr: string): void => {
  expect(stderr).toMatch(/^saveoops: .*\n {2}where: .*\n {2}found: .*\n {2}wanted: /);
  expect(stderr).not.toMatch(/^\s+at |node:|bug, please report/m);
};

beforeAll(() => {
  copyFileSync(stock.vmlinuz, kernel);
  writeFileSync(initrd, 'keys of the disk');
  chmodSync(initrd, 0o600);
  buildInto(at('before'), kernel, ['--initrd', initrd, '--append', 'root=/dev/sda1 ro']);
}, limit);
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

test('who could not read an initramfs cannot read a copy of it', () => {
  const modes = readdirSync(at('before')).map((name) => [
    name,
    statSync(join(at('before'), name)).mode & 0o777,
  ]);
  expect(Object.fromEntries(modes)).toEqual({
    'initrd.img': 0o600,
    'saveoops-capture.img': 0o644,
    'saveoops-efi.c32': 0o644,
    'saveoops.c32': 0o600,
    'saveoops.json': 0o644,
    'syslinux.cfg': 0o644,
    'syslx64.cfg': 0o644,
    vmlinuz: 0o644,
  });
  for (const iso of [[], ['--iso']]) {
    expect(runSaveoops(['image', at('before'), '--out', at('boot.img'), ...iso])).toMatchObject({
      status: 0,
    });
    expect(statSync(at('boot.img')).mode & 0o777).toBe(0o600);
  }
  rmSync(at('boot.img'));
});

(canTrace ? describe : describe.skip)('build, killed (skipped where strace may not trace)', () => {
  const kill = (calls: string, n: number, out: string): void => {
    const inject = ['-e', `trace=${calls}`, '-e', `inject=${calls}:signal=SIGKILL:when=${n}`];
    const run = spawnSync(
      'strace',
      ['-f', '-qq', '-o', '/dev/null', ...inject, process.execPath, cli, ...build(out)],
      {
        env: { ...process.env, UV_THREADPOOL_SIZE: '1' },
      },
    );
    expect(run.signal).toBe('SIGKILL');
  };

  test(
    'with the payload written and not yet renamed: the old one is untouched, and the next run ends it',
    () => {
      const out = copyOf('killed');
      const had = filesOf(out);
      kill('fsync', 2, out);
      expect(readdirSync(out).filter((name) => name.endsWith('.tmp'))).toHaveLength(Object.keys(had).length);
      expect(filesOf(out)).toMatchObject(had);
      expect(runSaveoops(build(out))).toMatchObject({ status: 0, stderr: '' });
      expect(readdirSync(out).sort()).toEqual(Object.keys(had));
    },
    limit,
  );

  test(
    'between two names: each file is whole, and image and test refuse them together',
    () => {
      const out = copyOf('mixed');
      kill('rename', 2, out);
      expect(runSaveoops(['inspect', join(out, 'saveoops.c32')]).status).toBe(0);
      expect(readFileSync(join(out, 'saveoops.json'))).toEqual(
        readFileSync(join(at('before'), 'saveoops.json')),
      );
      for (const args of [
        ['image', out, '--out', at('boot.img')],
        ['test', out],
      ]) {
        const { status, stderr } = runSaveoops(args);
        expect([status, stderr]).toEqual([65, expect.stringContaining('of two builds')]);
        expectTyped(stderr);
      }
      expect(readdirSync(folder)).not.toContain('boot.img');
    },
    limit,
  );
});

/**
 * Runs a script in which $0 is a small file system of its own, and the rest a command of Saveoops'.
 * @param room for so many payloads: 1 is the size of what is in `before`
 */
function withRoomFor(room: number, script: string, args: readonly string[]): CommandResult {
  mkdirSync(at('disk'), { recursive: true });
  const sizes = readdirSync(at('before')).map((name) => statSync(join(at('before'), name)).size);
  const bytes = room * sizes.reduce((sum, size) => sum + size, 0);
  const run = onSmallDisk(at('disk'), bytes, script, [process.execPath, cli, ...args]);
  expect(run.status).toBe(0);
  return run;
}

(canMountDisks() ? describe : describe.skip)('a disk (skipped where user namespaces may not mount)', () => {
  /** Says the exit status, and what is on the disk then. */
  const run = '{ "$@" || echo "status $?"; } && cd "$0" && find . -type f | sort | xargs -r sha256sum';
  const had = (): string =>
    oracle('sh', ['-c', `cd ${at('before')} && find . -type f | sort | xargs sha256sum`]);

  test(
    'without room for a second payload: build is refused, the first one stays as it was',
    () => {
      const { stdout, stderr } = withRoomFor(1.5, `cp "${at('before')}"/* "$0"; ${run}`, build(at('disk')));
      expect(stdout).toBe(`status 74\n${had()}`);
      expect(stderr).toContain('ENOSPC');
      expectTyped(stderr);
    },
    limit,
  );

  test(
    'that is read-only: build is refused',
    () => {
      const script = `cp "${at('before')}"/* "$0"; mount -o remount,ro "$0"; ${run}`;
      const { stdout, stderr } = withRoomFor(1.5, script, build(at('disk')));
      expect(stdout).toBe(`status 74\n${had()}`);
      expect(stderr).toContain('EROFS');
      expectTyped(stderr);
    },
    limit,
  );

  test.each([
    ['full', 'cat /dev/zero >"$0/fill" 2>/dev/null || true', /ENOSPC/],
    ['read-only', 'mount -o remount,ro "$0"', /EROFS/],
    ['not there', 'TMPDIR=$0/nowhere', /ENOENT/],
  ])(
    'for temporary files that is %s: build is refused',
    (_, prepare, found) => {
      const script = `TMPDIR=$0; export TMPDIR; ${prepare}; "$@" || echo "status $?"`;
      const { stdout, stderr } = withRoomFor(0.05, script, build(at('nowhere')));
      expect(stdout).toBe('status 74\n');
      expect(stderr).toMatch(found);
      expectTyped(stderr);
      expect(readdirSync(folder)).not.toContain('nowhere');
    },
    limit,
  );

  test.each([[[]], [['--iso']]])(
    'without room for an image: image %j is refused, and leaves nothing',
    (more) => {
      const { stdout, stderr } = withRoomFor(0.5, run, [
        'image',
        at('before'),
        '--out',
        at('disk/boot.img'),
        ...more,
      ]);
      expect(stdout).toBe('status 69\n');
      expectTyped(stderr);
    },
    limit,
  );
});

describe('image', () => {
  /** A payload is nothing that the tools look into: small files do. */
  const small = at('small');
  /** Programs of these names, in front of the real ones on PATH. */
  const withPrograms = (
    programs: Readonly<Record<string, string>>,
    more: readonly string[],
  ): ReturnType<typeof image> => {
    const bin = at('bin');
    rmSync(bin, { recursive: true, force: true });
    mkdirSync(bin);
    for (const [name, script] of Object.entries(programs)) {
      writeFileSync(join(bin, name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
    }
    return image(`${bin}:${process.env['PATH'] ?? ''}`, more);
  };
  const image = (path: string, more: readonly string[]): { status: number | null; stderr: string } =>
    spawnSync(process.execPath, [cli, 'image', small, '--out', at('boot.img'), ...more], {
      encoding: 'utf8',
      env: { ...process.env, PATH: path },
    });
  const real = (name: string): string => oracle('sh', ['-c', `command -v ${name}`]).trim();

  beforeAll(() => {
    mkdirSync(small);
    writeFileSync(join(small, 'saveoops.c32'), 'x'.repeat(200_000));
    writeFileSync(join(small, 'vmlinuz'), 'kernel');
    writeFileSync(
      join(small, 'syslinux.cfg'),
      'LABEL saveoops\n COM32 saveoops.c32\nLABEL plain\n LINUX vmlinuz\n',
    );
  });

  (canTrace ? test : test.skip).each([
    ['mcopy', []],
    ['mmd', []],
    ['mformat', []],
    ['xorriso', ['--iso']],
  ] as const)(
    'with a disk that fills up, or fails, at any write of %s: refused, or the image is as without it',
    (tool, more) => {
      expect(image(process.env['PATH'] ?? '', more).status).toBe(0);
      const whole = readFileSync(at('boot.img'));
      const outcomes = new Set<string>();
      for (const n of [1, 2, 5]) {
        rmSync(at('boot.img'), { force: true });
        const inject = `-e trace=write,pwrite64 -e inject=write,pwrite64:error=ENOSPC:when=${n}`;
        const script = `exec strace -f -qq -o /dev/null ${inject} ${real(tool)} "$@"`;
        const { status, stderr } = withPrograms({ [tool]: script }, more);
        outcomes.add(String(status));
        if (status === 0) expect(readFileSync(at('boot.img')).equals(whole)).toBe(true);
        else {
          expect([status, readdirSync(folder).includes('boot.img')]).toEqual([69, false]);
          expectTyped(stderr);
        }
      }
      expect([...outcomes]).toContain('69');
    },
    limit,
  );

  test('of a file that is rewritten while the image is made: refused', () => {
    const script = `echo newer >${join(small, 'vmlinuz')}; exec ${real('mcopy')} "$@"`;
    const { status, stderr } = withPrograms({ mcopy: script }, []);
    expect([status, stderr]).toEqual([74, expect.stringContaining('vmlinuz was changed while it was read')]);
    expectTyped(stderr);
  });

  test.each(['a@@b', 'c:x', 'a=b\\', '-x', "it's $(false)"])('in and of folders called %j', (name) => {
    renameSync(small, at(name));
    try {
      for (const iso of [[], ['--iso']]) {
        const args = [cli, 'image', `./${name}`, '--out', `${name}/boot.img`, ...iso];
        const run = spawnSync(process.execPath, args, { cwd: folder, encoding: 'utf8' });
        // An option, or a folder: yargs says what it takes it for.
        if (name.startsWith('-')) expect([0, 64]).toContain(run.status);
        else expect([run.status, run.stderr]).toEqual([0, '']);
      }
    } finally {
      rmSync(join(at(name), 'boot.img'), { force: true });
      renameSync(at(name), small);
    }
  });
});

test(
  'two kernels and two initramfs under one name each: all of them are there, under names that the entries use',
  () => {
    for (const name of ['one', 'two']) mkdirSync(at(name));
    const other = stockKernels().find(({ vmlinuz }) => vmlinuz !== stock?.vmlinuz);
    const paths = ['one/vmlinuz', 'two/VMLINUZ', 'one/initrd', 'two/initrd'].map(at) as [
      string,
      string,
      string,
      string,
    ];
    copyFileSync(stock.vmlinuz, paths[0]);
    copyFileSync(other?.vmlinuz ?? stock.vmlinuz, paths[1]);
    writeFileSync(paths[2], 'first');
    writeFileSync(paths[3], 'second');
    const more = ['--crash-kernel', paths[1], '--initrd', paths[2], '--initrd', paths[3], '--save', 'none'];
    buildInto(at('both'), paths[0], more);
    const config = readFileSync(at('both/syslinux.cfg'), 'utf8');
    expect(config).toMatch(/LINUX vmlinuz\n\tINITRD initrd,2-initrd\n/);
    const beside = (name: string): Buffer => readFileSync(join(at('both'), name));
    expect(beside('vmlinuz').equals(readFileSync(paths[0]))).toBe(true);
    expect([beside('initrd').toString(), beside('2-initrd').toString()]).toEqual(['first', 'second']);
    if (other === undefined) return;
    expect(config).toContain('LINUX 2-VMLINUZ\n');
    expect(beside('2-VMLINUZ').equals(readFileSync(paths[1]))).toBe(true);
  },
  limit,
);
