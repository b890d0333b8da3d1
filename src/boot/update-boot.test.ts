/**
 * `saveoops update` on real /boot folders with a stock kernel: interrupted at every step, without room, read-only, twice
 * at once. What would boot is read from the files by this test's own, small reading of Syslinux's rules.
 */
import { spawn, spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdtempSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { UpdateResult } from '../commands/update.js';
import type { Manifest } from '../payload/manifest.js';
import { comparePayloads, findPayloads } from '../system/installed-payloads.js';
import { buildInto, oracle, runSaveoops, type CommandResult } from '../testkit/command-line.js';
import { everyLane, few } from '../testkit/lanes.js';
import { canMountDisks, onSmallDisk } from '../testkit/small-disk.js';
import { smallKernel } from '../testkit/stock-kernels.js';
import { canTrace } from '../testkit/tracing.js';

const cli = fileURLToPath(new URL('../cli.js', import.meta.url));
const once = fileURLToPath(new URL('../testkit/update-once.js', import.meta.url));
const stock = smallKernel();
const version = basename(stock.vmlinuz).slice('vmlinuz-'.length);
const ownLines = 'DEFAULT linux\nPROMPT 0\nLABEL linux\n\tLINUX ../vmlinuz\n';
const limit = 120_000;

let folder: string;
/** A system whose payload fits, and the same with the initramfs that comes next and the payload for it. */
let before: string;
let after: string;

const config = (boot: string): string => join(boot, 'extlinux', 'extlinux.conf');
const initrd = (boot: string): string => join(boot, `initrd.img-${version}`);
const stored = (boot: string, name = version): string => join(boot, 'saveoops', name);
const payload = (boot: string, name = version): string => join(stored(boot, name), 'saveoops.c32');
const menu = (boot: string): string =>
  readFileSync(join(boot, 'saveoops', 'syslinux-saveoops.cfg'), 'latin1');
/** Everything with its inode and time: what shows that nothing was written. */
const listing = (boot: string): string =>
  spawnSync('find', ['.', '-printf', '%p %y %i %T@\n'], { cwd: boot, encoding: 'utf8' }).stdout;
const updateArgs = (boot: string, ...more: readonly string[]): string[] => [
  ...[
    'update',
    '--boot',
    boot,
    '--boot-config',
    config(boot),
    '--append',
    'root=/dev/sda1',
    '--no-config',
    ...more,
  ],
];
const update = (boot: string, ...more: readonly string[]): CommandResult =>
  runSaveoops(updateArgs(boot, ...more));

function newSystem(name: string): string {
  const boot = join(folder, name);
  mkdirSync(join(boot, 'extlinux'), { recursive: true });
  cpSync(stock.vmlinuz, join(boot, `vmlinuz-${version}`));
  writeFileSync(initrd(boot), 'first initramfs\n'.repeat(1000));
  writeFileSync(config(boot), ownLines);
  return boot;
}

/** Nothing is ever written in place, so that hard links will do. */
function copyOf(boot: string, name: string): string {
  const copy = join(folder, name);
  rmSync(copy, { recursive: true, force: true });
  expect(spawnSync('cp', ['-al', boot, copy]).status).toBe(0);
  return copy;
}

/** A system whose initramfs is about to change and that has a previous payload already. */
function withPrevious(name: string): string {
  const boot = copyOf(before, name);
  expect(spawnSync('cp', ['-al', stored(boot), stored(boot, `${version}.old`)]).status).toBe(0);
  return boot;
}

function replaceInitrd(boot: string, text = 'second initramfs\n'): void {
  rmSync(initrd(boot));
  writeFileSync(initrd(boot), text.repeat(1000));
}

/** The entry that Syslinux would boot: the last DEFAULT of all files, in the order in which they are read. */
function defaultEntry(path: string): {
  label: string;
  kind: string;
  file: string;
  initrd: string | undefined;
} {
  const lines = (name: string): string[] =>
    readFileSync(name, 'latin1')
      .split('\n')
      .map((line) => line.trim())
      .flatMap((line) => (line.startsWith('INCLUDE ') ? lines(join(dirname(path), line.slice(8))) : [line]));
  const all = lines(path);
  const label =
    all
      .filter((line) => line.startsWith('DEFAULT '))
      .at(-1)
      ?.slice(8) ?? '';
  const body = all.slice(all.indexOf(`LABEL ${label}`) + 1);
  const value = (word: string): string | undefined =>
    body
      .slice(
        0,
        [...body, 'LABEL '].findIndex((line) => line.startsWith('LABEL ')),
      )
      .find((line) => line.startsWith(`${word} `))
      ?.slice(word.length + 1);
  expect(all).toContain(`LABEL ${label}`);
  const name = (file: string): string => join(dirname(path), file);
  const payload = value('COM32');
  const beside = value('INITRD');
  return {
    label,
    kind: payload === undefined ? 'plain' : 'armed',
    file: name(payload ?? value('LINUX') ?? ''),
    initrd: beside === undefined ? undefined : name(beside),
  };
}

/**
 * What boots is there and whole. Gives "armed", "stale" (armed, with another initramfs than the one that is there), "plain",
 * or "own" (an entry of the user's).
 */
function expectBootable(boot: string): string {
  const text = readFileSync(config(boot), 'latin1');
  expect(text.startsWith(ownLines)).toBe(true);
  expect(text.slice(ownLines.length)).toMatch(/^(INCLUDE \S+\n)?$/);
  const entry = defaultEntry(config(boot));
  if (entry.label === 'linux') return 'own';
  expect(existsSync(entry.file)).toBe(true);
  if (entry.kind === 'plain') {
    expect(entry.initrd).toBe(initrd(boot));
    return 'plain';
  }
  const bytes = readFileSync(entry.file);
  // Whole: byte for byte what one of the uninterrupted runs has written.
  expect([before, after].some((system) => bytes.equals(readFileSync(payload(system))))).toBe(true);
  return bytes.includes(readFileSync(initrd(boot))) ? 'armed' : 'stale';
}

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'saveoops-update-'));
  before = newSystem('before');
  expect(update(before)).toMatchObject({ status: 0, stderr: '' });
  after = copyOf(before, 'after');
  replaceInitrd(after);
  expect(update(after)).toMatchObject({ status: 0, stderr: '' });
}, limit);
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

describe('a new initramfs', () => {
  test('is in the payload that boots, the old payload stays as the previous one', () => {
    expect(expectBootable(before)).toBe('armed');
    expect(expectBootable(after)).toBe('armed');
    expect(readFileSync(payload(after)).equals(readFileSync(payload(before)))).toBe(false);
    expect(readFileSync(payload(after, `${version}.old`)).equals(readFileSync(payload(before)))).toBe(true);
    expect(menu(after)).toContain(`COM32 ../saveoops/${version}.old/saveoops.c32\n`);
  });

  test(
    'the payload is what build gives for these files',
    () => {
      const built = buildInto(join(folder, 'built'), join(after, `vmlinuz-${version}`), [
        ...['--initrd', initrd(after), '--append', 'root=/dev/sda1', '--fallback-entry', 'saveoops-fallback'],
      ]);
      expect(readFileSync(payload(after)).equals(built.bytes)).toBe(true);
    },
    limit,
  );

  /** By a PATH with what `update` itself runs and no more, so that a build ends at the first decompressor. */
  const withoutTools = (boot: string): { status: number | null; stdout: string; stderr: string } => {
    const bin = join(folder, 'bin');
    mkdirSync(bin, { recursive: true });
    for (const tool of ['dd', 'flock', 'cat']) {
      const path = oracle('sh', ['-c', `command -v ${tool}`]).trim();
      if (!existsSync(join(bin, tool))) symlinkSync(path, join(bin, tool));
    }
    return spawnSync(process.execPath, [cli, ...updateArgs(boot)], {
      encoding: 'utf8',
      env: { ...process.env, PATH: bin },
    });
  };

  test(
    'takes the armed kernel over from the payload before, when that is whole; else it is built anew',
    () => {
      const boot = copyOf(before, 'taken-over');
      replaceInitrd(boot);
      expect(withoutTools(boot)).toMatchObject({ status: 0, stdout: `saveoops: ${version}: armed\n` });
      expect(readFileSync(payload(boot)).equals(readFileSync(payload(after)))).toBe(true);

      const damaged = copyOf(before, 'not-taken-over');
      replaceInitrd(damaged);
      const bytes = readFileSync(payload(damaged));
      const { regions } = JSON.parse(
        readFileSync(join(stored(damaged), 'saveoops.json'), 'utf8'),
      ) as Manifest;
      const part = regions.find(({ name }) => name === 'crash-initrd');
      const middle = (part?.offset ?? 0) + ((part?.size ?? 0) >> 1);
      bytes[middle] = (bytes[middle] ?? 0) ^ 1;
      rmSync(payload(damaged));
      writeFileSync(payload(damaged), bytes);
      expect(withoutTools(damaged)).toMatchObject({
        status: 69,
        stderr: expect.stringContaining('not installed'),
      });
      expect(expectBootable(damaged)).toBe('plain');
      expect(update(damaged)).toMatchObject({ status: 0, stderr: '' });
      expect(expectBootable(damaged)).toBe('armed');
    },
    2 * limit,
  );

  test('is up to date for status, which passes over the previous payload', async () => {
    expect(await comparePayloads(after, await findPayloads(after))).toMatchObject([
      { folder: stored(after), stale: [] },
    ]);
    const behind = copyOf(before, 'behind');
    replaceInitrd(behind);
    expect((await comparePayloads(behind, await findPayloads(behind)))[0]?.stale).toHaveLength(1);
  });

  test('a second run changes nothing', () => {
    const boot = copyOf(after, 'again');
    const had = listing(boot);
    expect(update(boot).stdout).toBe(`saveoops: ${version}: up to date\n`);
    expect(listing(boot)).toEqual(had);
  });

  test('--before takes the default away from the payload before files change', () => {
    const boot = copyOf(before, 'about-to-change');
    expect(update(boot, '--before', version)).toMatchObject({ status: 0, stdout: '', stderr: '' });
    expect(expectBootable(boot)).toBe('plain');
    expect(menu(boot)).toContain(`COM32 ../saveoops/${version}/saveoops.c32\n`);
  });

  test(
    'a damaged payload is found and built again',
    () => {
      const boot = copyOf(before, 'damaged');
      const bytes = readFileSync(payload(boot));
      bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1;
      rmSync(payload(boot));
      writeFileSync(payload(boot), bytes);
      expect(update(boot).stdout).toBe(`saveoops: ${version}: armed\n`);
      expect(expectBootable(boot)).toBe('armed');
    },
    limit,
  );
});

test('a folder that is not there: refused, and not made; one without kernels is said', () => {
  const boot = join(folder, 'missing');
  const enable = (): CommandResult =>
    runSaveoops(['update', '--no-config', '--boot', boot, '--enable', 'grub']);
  expect(enable()).toMatchObject({ status: 74, stdout: '', stderr: expect.stringContaining(boot) });
  expect(existsSync(boot)).toBe(false);
  mkdirSync(boot);
  expect(enable().stdout).toBe(`saveoops: no kernel (vmlinuz-V) in ${boot}\n`);
});

describe('another kernel of the same version', () => {
  test('no payload that holds the old one is offered, not even as the previous one', () => {
    const boot = copyOf(after, 'other-kernel');
    const kernel = join(boot, `vmlinuz-${version}`);
    rmSync(kernel);
    writeFileSync(kernel, 'not a kernel at all: the build fails');
    expect(update(boot).status).toBe(65);
    expect(expectBootable(boot)).toBe('plain');
    expect(menu(boot)).not.toContain('COM32');
  });
});

describe('a kernel that goes', () => {
  test('takes its payloads and entries along, and nothing else', () => {
    const boot = copyOf(after, 'removed');
    mkdirSync(join(boot, 'saveoops', '20261124T180000Z-6.1.0-a1b2c3'));
    // Still there when a package asks before it goes.
    expect(update(boot, '--remove', version)).toMatchObject({ status: 0, stderr: '' });
    expect(readdirSync(join(boot, 'saveoops')).sort()).toEqual([
      '20261124T180000Z-6.1.0-a1b2c3',
      'syslinux-plain.cfg',
      'syslinux-saveoops.cfg',
    ]);
    expect(expectBootable(boot)).toBe('own');
  });

  test('without its hook: the next run over all kernels removes what is left', () => {
    const boot = copyOf(after, 'orphan');
    rmSync(join(boot, `vmlinuz-${version}`));
    expect(update(boot)).toMatchObject({ status: 0, stderr: '' });
    expect(readdirSync(join(boot, 'saveoops')).some((name) => name.startsWith(version))).toBe(false);
  });

  test.each(['../etc', '..', '', 'a/b', '6.1.old', '-rf'])('the version %j is refused', (name) => {
    expect(update(before, `--remove=${name}`).status).toBe(64);
    expect(expectBootable(before)).toBe('armed');
  });
});

test('--disable: the user has the file as it was, and nothing stays but captures', () => {
  const boot = withPrevious('disabled');
  const capture = '20261124T180000Z-6.1.0-a1b2c3';
  mkdirSync(join(boot, 'saveoops', capture));
  expect(update(boot, '--disable')).toMatchObject({ status: 0, stderr: '' });
  expect(readFileSync(config(boot), 'latin1')).toBe(ownLines);
  expect(readdirSync(join(boot, 'saveoops'))).toEqual([capture]);
});

test('without a boot configuration nothing is written, and a hook says nothing', () => {
  const boot = newSystem('unasked');
  const had = listing(boot);
  const run = (...more: string[]): CommandResult =>
    runSaveoops(['update', '--no-config', '--boot', boot, ...more]);
  expect(run().status).toBe(64);
  expect(run('--hook', '--kernel-version', version)).toEqual({ status: 0, stdout: '', stderr: '' });
  expect(listing(boot)).toEqual(had);
});

test(
  'two at once wait for each other, and both end well',
  async () => {
    const boot = copyOf(before, 'two');
    replaceInitrd(boot);
    const run = (): Promise<{ code: number | null; text: string }> =>
      new Promise((resolve) => {
        const child = spawn(process.execPath, [cli, ...updateArgs(boot, '--force')]);
        let text = '';
        child.stdout.on('data', (data: Buffer) => (text += data.toString()));
        child.stderr.on('data', (data: Buffer) => (text += data.toString()));
        child.once('close', (code) => {
          resolve({ code, text });
        });
      });
    const armed = { code: 0, text: `saveoops: ${version}: armed\n` };
    expect(await Promise.all([run(), run()])).toEqual([armed, armed]);
    expect(expectBootable(boot)).toBe('armed');
    // The second took the first one's payload for the previous one.
    expect(readFileSync(payload(boot, `${version}.old`)).equals(readFileSync(payload(boot)))).toBe(true);
  },
  limit,
);

describe('--dry-run', () => {
  /** Every file with its content, beside `listing`. */
  const digest = (boot: string): ReadonlyMap<string, string> =>
    new Map(
      oracle('sh', ['-c', 'cd "$1" && find . -type f -exec sha256sum {} +', 'sh', boot])
        .trimEnd()
        .split('\n')
        .map((line) => [join(boot, line.slice(66)), line.slice(0, 64)]),
    );
  const resultOf = (boot: string, ...more: readonly string[]): UpdateResult => {
    const run = update(boot, ...more, '--json');
    return JSON.parse(run.stdout) as UpdateResult;
  };
  const cases: readonly (readonly [string, () => string, readonly string[], readonly string[]])[] = [
    ['a first payload', () => newSystem('dry-first'), [], ['built']],
    [
      'a new initramfs',
      () => {
        const boot = withPrevious('dry-initrd');
        replaceInitrd(boot);
        return boot;
      },
      [],
      ['renewed'],
    ],
    [
      'a kernel that cannot be armed, beside one that is gone',
      () => {
        const boot = copyOf(after, 'dry-broken');
        rmSync(join(boot, `vmlinuz-${version}`));
        writeFileSync(join(boot, 'vmlinuz-6.99.0'), 'no kernel');
        return boot;
      },
      [],
      ['removed', 'failed'],
    ],
    ['--disable', () => withPrevious('dry-disable'), ['--disable'], ['removed']],
    [
      'a payload that waits for its changed settings',
      () => copyOf(after, 'dry-keep'),
      ['--keep', '3'],
      ['built'],
    ],
    ['nothing new', () => copyOf(after, 'dry-same'), [], ['kept']],
    ['--before', () => copyOf(after, 'dry-before'), ['--before', version], ['disarmed']],
    ['--remove', () => copyOf(after, 'dry-remove'), ['--remove', version], ['removed']],
  ];

  test.each(few(1, cases))(
    '%s: nothing is written, and what it tells is what the run without it then does',
    (_, start, args, actions) => {
      const boot = start();
      const [had, files] = [listing(boot), digest(boot)];
      const text = update(boot, ...args, '--dry-run');
      const told = resultOf(boot, ...args, '--dry-run');
      expect([listing(boot), digest(boot)]).toEqual([had, files]);
      expect(told).toMatchObject({ dryRun: true, loader: 'extlinux', store: join(boot, 'saveoops') });
      expect(told.kernels.map(({ action }) => action)).toEqual(actions);
      expect(text.stdout).toMatch(/\nsaveoops: nothing was written\n$/);
      for (const path of told.loaderFiles ?? []) expect(text.stdout).toContain(path);

      const done = resultOf(boot, ...args);
      expect([done.dryRun, done.loaderFiles]).toEqual([false, null]);
      expect(done.kernels).toEqual(told.kernels);
      const now = digest(boot);
      const changed = [...new Set([...files.keys(), ...now.keys()])].filter(
        (path) => files.get(path) !== now.get(path) && !path.includes(`/saveoops/${version}`),
      );
      expect([...(told.loaderFiles ?? [])].sort()).toEqual(changed.sort());
    },
    limit,
  );

  test('says it in words', () => {
    const boot = newSystem('dry-words');
    expect(update(boot, '--dry-run').stdout).toMatch(
      new RegExp(
        `^saveoops: ${version}: would be built \\(\\d+\\.\\d MiB\\) and armed: it has no payload\n` +
          `saveoops: extlinux: would write or remove \\S+/syslinux-plain\\.cfg, \\S+/syslinux-saveoops\\.cfg, \\S+/extlinux\\.conf\n` +
          'saveoops: nothing was written\n$',
      ),
    );
    expect(readdirSync(boot)).not.toContain('saveoops');
  });

  test('a hook without a loader has nothing to tell, as JSON too', () => {
    const boot = newSystem('dry-unasked');
    const args = ['update', '--no-config', '--boot', boot, '--hook', '--json'];
    expect(JSON.parse(runSaveoops(args).stdout)).toMatchObject({ loader: null, kernels: [] });
  });
});

const onceArgs = (system: string): string[] => ['extlinux', system, config(system), version, stored(after)];
/** strace counts each kind of call by itself, so that each needs a row of its own. */
const changes = ['rename', 'unlink', 'rmdir', 'mkdir', 'fsync'];
const kill = (calls: string, n: number, system: string, ...paths: readonly string[]): boolean => {
  const filter = ['-e', `trace=${calls}`, ...paths.flatMap((path) => ['-P', path])];
  const inject = ['-e', `inject=${calls}:signal=SIGKILL:when=${n}`];
  const args = [...filter, ...inject, process.execPath, once, ...onceArgs(system)];
  const run = spawnSync('strace', ['-f', '-qq', '-o', '/dev/null', ...args], {
    encoding: 'utf8',
    // strace counts the calls of each thread by itself: one thread for all.
    env: { ...process.env, UV_THREADPOOL_SIZE: '1' },
  });
  if (run.status === 0) return false;
  expect([n, run.signal, run.stderr]).toEqual([n, 'SIGKILL', '']);
  return true;
};

(canTrace ? describe : describe.skip)('killed (skipped where strace may not trace)', () => {
  const settle = (system: string): void => {
    const run = spawnSync(process.execPath, [once, ...onceArgs(system)]);
    expect([run.status, run.stderr.toString()]).toEqual([0, '']);
    expect(expectBootable(system)).toBe('armed');
    expect(readdirSync(join(system, 'saveoops')).filter((name) => /\.new$|\.tmp$/.test(name))).toEqual([]);
  };

  test.each([
    ['a new initramfs, with a previous payload', () => withPrevious('killed'), ['stale', 'plain', 'armed']],
    ['the first payload of all', () => newSystem('first'), ['own', 'armed']],
  ] as const)(
    'at each change of a file, %s: what boots is whole, and never stale again; the next run ends it',
    (_, start, stages) => {
      const step = everyLane ? 1 : 16;
      const all = new Set<string>();
      for (const call of changes) {
        const seen: string[] = [];
        for (let n = 1; ; n += step) {
          const system = start();
          replaceInitrd(system);
          const killed = kill(call, n, system);
          const boots = expectBootable(system);
          if (boots !== seen.at(-1)) seen.push(boots);
          all.add(boots);
          if (!killed) break;
          if (n % 16 === 1) settle(system);
          rmSync(system, { recursive: true });
        }
        expect(seen).toEqual(stages.filter((stage) => seen.includes(stage)));
      }
      if (everyLane) expect([...stages].filter((stage) => !all.has(stage))).toEqual([]);
    },
    limit,
  );

  test(
    'while it writes the payload: the half one is never named, and goes with the next run',
    () => {
      let n = 1;
      for (; ; n++) {
        const system = withPrevious('half');
        replaceInitrd(system);
        const half = payload(system, `${version}.new`);
        const killed = kill('write', n, system, half);
        if (!killed) break;
        expect(existsSync(half)).toBe(true);
        expect(expectBootable(system)).toBe('plain');
        expect(menu(system)).not.toContain('.new');
        settle(system);
        rmSync(system, { recursive: true });
      }
      expect(n).toBeGreaterThan(1);
    },
    limit,
  );
});

/**
 * Runs a script on a copy of the system `before` in a small file system, at $0; gives its output.
 * @param room for so many payloads beside the one that is there
 */
function withRoomFor(room: number, script: string): string {
  const kernel = statSync(join(before, `vmlinuz-${version}`)).size;
  const disk = mkdtempSync(join(folder, 'disk-'));
  const run = onSmallDisk(
    disk,
    kernel + (1 + room) * statSync(payload(before)).size,
    `cp -a "$1"/. "$0"; ${script}`,
    [before],
    { ...process.env, UPDATE: [process.execPath, cli, ...updateArgs(disk)].join(' ') },
  );
  // The disk is gone with its namespace: the script has copied what is to be looked at.
  expect([run.status, run.stderr]).toEqual([0, '']);
  return run.stdout;
}

(canMountDisks() ? describe : describe.skip)('a disk (skipped where user namespaces may not mount)', () => {
  const newInitrd = `rm "$0"/initrd.img-*; yes second initramfs | head -c 17000 > "$0"/initrd.img-${version}`;
  /** Copies what was left, payloads as hard proof of their size only. */
  const take = (name: string): string => `cp -a "$0" ${join(folder, name)}`;

  test(
    'without room for a second payload: refused by name of the sum, the plain entry boots',
    () => {
      const refused = '2>&1 || echo "status $?"';
      const out = withRoomFor(
        0.5,
        `${newInitrd}; $UPDATE --dry-run ${refused}; $UPDATE ${refused}; ${take('full')}`,
      );
      expect(out).toMatch(
        /would not be armed: no room [^]*(no room for the new payload[^]*MiB free[^]*status 67[^]*){2}/,
      );
      expect(expectBootable(join(folder, 'full'))).toBe('plain');
      expect(menu(join(folder, 'full'))).toContain(`COM32 ../saveoops/${version}/saveoops.c32\n`);
    },
    limit,
  );

  test(
    'with room for a second one, but not for a third: the oldest goes',
    () => {
      const script = `cp -a "$0"/saveoops/${version} "$0"/saveoops/${version}.old; ${newInitrd}; $UPDATE; ${take('tight')}`;
      expect(withRoomFor(1.5, script)).toBe(`saveoops: ${version}: armed\n`);
      expect(expectBootable(join(folder, 'tight'))).toBe('armed');
    },
    limit,
  );

  test(
    'full to the last byte: not even the menu can be written, and yet the plain entry boots',
    () => {
      const fill = 'cat /dev/zero > "$0"/fill 2>/dev/null || true';
      const out = withRoomFor(
        0.5,
        `${newInitrd}; ${fill}; $UPDATE 2>&1 || echo "status $?"; ${take('brim')}`,
      );
      expect(out).toMatch(/status (67|74)/);
      expect(expectBootable(join(folder, 'brim'))).toBe('plain');
    },
    limit,
  );

  test(
    'read-only: refused, and nothing changes',
    () => {
      const script = `mount -o remount,ro "$0"; $UPDATE --force 2>&1 || echo "status $?"; ${take('read-only')}`;
      expect(withRoomFor(0.5, script)).toMatch(/read-only[^]*status 74/);
      expect(expectBootable(join(folder, 'read-only'))).toBe('armed');
    },
    limit,
  );
});
