/**
 * The Debian package, as `npm run deb` makes it and dpkg unpacks it: what is in it, and its hooks, run as kernel and
 * initramfs packages run them, on a /boot folder with a stock kernel.
 */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { configKeys } from '../commands/options.js';
import { parseConfig } from '../config/config-file.js';
import { parseBootConfig } from '../image/boot-config.js';
import { oracle } from '../testkit/command-line.js';
import { smallKernel } from '../testkit/stock-kernels.js';

const repository = fileURLToPath(new URL('../../../', import.meta.url));
const stock = smallKernel();
const version = basename(stock.vmlinuz).slice('vmlinuz-'.length);
const limit = 120_000;

let folder: string;
let deb: string;
let root: string;
let boot: string;

function build(out: string, umask: string, zone: string): string {
  const script = `umask ${umask}; exec bash scripts/build-deb.sh "$1"`;
  const run = spawnSync('bash', ['-c', script, 'bash', out], {
    cwd: repository,
    encoding: 'utf8',
    // As in a tree without history: the date is given.
    env: { ...process.env, TZ: zone, SOURCE_DATE_EPOCH: '1700000000' },
  });
  expect([run.status, run.stderr]).toEqual([0, '']);
  return join(out, readdirSync(out)[0] ?? '');
}

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'saveoops-deb-'));
  deb = build(join(folder, 'out'), '022', 'UTC');
  root = join(folder, 'root');
  oracle('dpkg-deb', ['-x', deb, root]);
  boot = join(folder, 'boot');
  mkdirSync(join(boot, 'extlinux'), { recursive: true });
  cpSync(stock.vmlinuz, join(boot, `vmlinuz-${version}`));
  writeFileSync(join(boot, `initrd.img-${version}`), 'initramfs');
  writeFileSync(join(boot, 'extlinux', 'extlinux.conf'), 'DEFAULT linux\nLABEL linux\n');
  writeFileSync(
    join(folder, 'saveoops.yaml'),
    `boot-config: ${join(boot, 'extlinux', 'extlinux.conf')}\nappend: root=/dev/sda1 ro\n`,
  );
  // The installed program; only /boot and /etc are others here.
  mkdirSync(join(folder, 'bin'));
  const cli = join(root, 'usr', 'bin', 'saveoops');
  writeFileSync(
    join(folder, 'bin', 'saveoops'),
    `#!/bin/sh\nexec ${process.execPath} ${cli} "$@" --boot ${boot} --config ${join(folder, 'saveoops.yaml')}\n`,
    { mode: 0o755 },
  );
}, limit);
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

describe('saveoops.deb', () => {
  test(
    'is the same for other file modes and another time zone',
    () => {
      const other = build(join(folder, 'other'), '077', 'Asia/Tokyo');
      expect(readFileSync(other).equals(readFileSync(deb))).toBe(true);
    },
    limit,
  );

  test('belongs to root, and holds no tests', () => {
    const lines = oracle('dpkg-deb', ['-c', deb]).trim().split('\n');
    expect(lines.filter((line) => !/^\S+ root\/root /.test(line))).toEqual([]);
    expect(lines.filter((line) => /testkit|\.test\.|node_modules\/(typescript|jest)\//.test(line))).toEqual(
      [],
    );
    expect(
      lines.filter((line) => /dist\/stubs\/(entry|crash|module)\.elf$|hook\.o$/.test(line)),
    ).toHaveLength(4);
  });

  test('every file below /etc is a conffile, and only those', () => {
    const listed = oracle('dpkg-deb', ['-c', deb])
      .split('\n')
      .map((line) => / \.(\/etc\/.*[^/])$/.exec(line)?.[1])
      .filter((name) => name !== undefined);
    expect(listed.length).toBeGreaterThan(5);
    expect(oracle('dpkg-deb', ['-I', deb, 'conffiles']).trim().split('\n').sort()).toEqual(listed.sort());
  });

  test('its configuration arms nothing, and its examples are options', () => {
    const text = readFileSync(join(root, 'etc', 'saveoops.yaml'), 'utf8');
    expect(parseConfig(Buffer.from(text), 'saveoops.yaml', configKeys)).toEqual({});
    const examples = Buffer.from(text.replace(/^#(?=[a-z-]+:)/gm, ''));
    expect(Object.keys(parseConfig(examples, 'saveoops.yaml', configKeys))).toContain('boot-config');
  });

  test('every script is one that dash understands', () => {
    const scripts = oracle('find', [
      root,
      join(repository, 'src/packaging/deb'),
      '-type',
      'f',
      '-perm',
      '/100',
    ])
      .trim()
      .split('\n')
      .filter((path) => readFileSync(path, 'latin1').startsWith('#!/bin/sh'));
    expect(scripts.length).toBeGreaterThan(8);
    for (const script of scripts) oracle('dash', ['-n', script]);
  });
});

/** The default entry of the menu, or undefined without a menu. */
const preferred = (): string | undefined =>
  parseBootConfig(readFileSync(join(boot, 'saveoops', 'syslinux-saveoops.cfg'), 'utf8')).defaultLabel;
const environment = (more: Readonly<Record<string, string>>): NodeJS.ProcessEnv => ({
  ...process.env,
  PATH: `${join(folder, 'bin')}:${process.env['PATH'] ?? ''}`,
  ...more,
});
/** As the maintainer scripts of Debian's kernels do, debconf's hold on standard output included. */
const hooks = (name: string, parameters: string): string => {
  const image = join(boot, `vmlinuz-${version}`);
  const args = ['--report', '--exit-on-error', `--arg=${version}`, `--arg=${image}`, join(root, 'etc', name)];
  const env = environment({ DEB_MAINT_PARAMS: parameters });
  const { status, stdout, stderr } = spawnSync('run-parts', args, { encoding: 'utf8', env });
  expect([name, status]).toEqual([name, 0]);
  return `${stdout}${stderr}`.trim().split('\n').at(-1) ?? '';
};

describe('the hooks', () => {
  const armed = `saveoops-${version}`;
  const plain = `saveoops-plain-${version}`;
  const initrd = (): string => join(boot, `initrd.img-${version}`);

  test(
    'follow a kernel from its installation to its end',
    () => {
      expect(hooks('kernel/postinst.d', 'configure')).toBe(`saveoops: ${version}: armed`);
      expect(preferred()).toBe(armed);
      expect(readFileSync(join(boot, 'extlinux', 'extlinux.conf'), 'utf8')).toBe(
        'DEFAULT linux\nLABEL linux\nINCLUDE ../saveoops/syslinux-saveoops.cfg\n',
      );

      writeFileSync(initrd(), 'another initramfs');
      expect(hooks('initramfs/post-update.d', '')).toBe(`saveoops: ${version}: armed`);
      expect(preferred()).toBe(armed);
      expect(hooks('kernel/postinst.d', 'configure')).toBe(`saveoops: ${version}: up to date`);

      expect(hooks('kernel/preinst.d', 'upgrade 6.1.1-1 6.1.1-2')).toBe('');
      expect(preferred()).toBe(plain);
      expect(hooks('kernel/postrm.d', 'upgrade 6.1.1-2')).toBe('');
      expect(preferred()).toBe(plain);
      expect(hooks('kernel/postinst.d', 'configure 6.1.1-1')).toBe(`saveoops: ${version}: up to date`);
      expect(preferred()).toBe(armed);

      expect(hooks('kernel/prerm.d', 'remove')).toBe('');
      expect(preferred()).toBeUndefined();
    },
    limit,
  );

  test(
    "kernel-install's plugin adds and removes, and leaves its other commands alone",
    () => {
      const plugin = join(root, 'usr', 'lib', 'kernel', 'install.d', '95-saveoops.install');
      const run = (...args: string[]): number | null =>
        spawnSync(plugin, args, { env: environment({}) }).status;
      expect(run('add', version, '/boot/entry', join(boot, `vmlinuz-${version}`))).toBe(0);
      expect(preferred()).toBe(armed);
      expect(run('inspect', version)).toBe(0);
      expect(preferred()).toBe(armed);
      expect(run('remove', version)).toBe(0);
      expect(preferred()).toBeUndefined();
    },
    limit,
  );

  test(
    'a kernel that cannot be armed stops no package, and its plain entry boots',
    () => {
      hooks('kernel/postinst.d', 'configure');
      writeFileSync(join(boot, `vmlinuz-${version}`), 'no kernel');
      expect(hooks('kernel/postinst.d', 'configure')).toBe(
        `saveoops: ${version} is not armed; its plain entry boots`,
      );
      expect(preferred()).toBe(plain);
    },
    limit,
  );
});
