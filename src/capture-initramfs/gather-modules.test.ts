import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { beforeAll, describe, expect, test } from '@jest/globals';
import { renderError, SaveoopsError } from '../errors.js';
import { moduleNameOf } from '../formats/modules/modules-dep.js';
import { withTemporaryFolder } from '../host/files.js';
import { writeElf } from '../testkit/elf-writer.js';
import { stockKernels } from '../testkit/stock-kernels.js';
import { buildCaptureInitramfs } from './build-initramfs.js';
import { gatherModules, type ModuleChoice } from './gather-modules.js';
import { watchdogModules } from './module-set.js';
import { findModules } from './module-tree.js';

/** kmod's programs, which read modules with their own library, are the oracle. */
function kmod(program: string, ...args: string[]): string[] {
  const text = execFileSync(program, args, {
    encoding: 'utf8',
    maxBuffer: 1 << 26,
    env: { ...process.env, PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin` },
  });
  return text.split('\n').filter((line) => line !== '');
}

async function refusal(work: Promise<unknown>): Promise<{ kind: string; text: string }> {
  try {
    await work;
  } catch (error) {
    if (error instanceof SaveoopsError) return { kind: error.kind, text: renderError(error) };
    throw error;
  }
  throw new Error('nothing was refused');
}

/** The initramfs members as text or bytes by their file name. */
async function gather(
  kernel: string,
  release: string,
  extra: string[] = [],
  given?: string,
  machine: Partial<ModuleChoice> = {},
) {
  const tree = await findModules(release, kernel, given);
  if (tree === undefined) throw new Error(`no modules of ${release}`);
  const files = await gatherModules({ tree, release, extra, ...machine });
  const bytes = new Map(
    files.flatMap((file) => (file.kind === 'file' ? [[basename(file.path), file.bytes]] : [])),
  );
  return { files, bytes, text: (name: string) => Buffer.from(bytes.get(name) ?? []).toString() };
}

describe.each(stockKernels().map(({ flavour, vmlinuz }) => ({ flavour, vmlinuz })))(
  'modules of the stock kernel $flavour',
  ({ vmlinuz }) => {
    const release = /^vmlinuz-(.+)$/.exec(basename(vmlinuz))?.[1] ?? basename(dirname(vmlinuz));
    let gathered: Awaited<ReturnType<typeof gather>>;
    beforeAll(async () => {
      gathered = await gather(vmlinuz, release);
    });

    test('depmod finds the same needs, and no symbol that nothing brings', async () => {
      await withTemporaryFolder(async (root) => {
        const folder = join(root, 'lib/modules', release);
        mkdirSync(folder, { recursive: true });
        for (const file of gathered.files) {
          if (file.kind !== 'file' || moduleNameOf(file.path) === undefined) continue;
          const unpacked = gunzipSync(file.bytes);
          expect(file.source.endsWith('.ko') && !readFileSync(file.source).equals(unpacked)).toBe(false);
          writeFileSync(join(folder, basename(file.path, '.gz')), unpacked);
        }
        kmod('depmod', '-b', root, release);
        const needs = (text: string): [string, string[]][] =>
          text
            .trimEnd()
            .split('\n')
            .map((line): [string, string[]] => {
              const [module = '', ...needed] = line.replaceAll('.ko.gz', '.ko').split(/:? /);
              return [module.replace(/:$/, ''), needed.sort()];
            })
            .sort(([a], [b]) => (a < b ? -1 : 1));
        const expected = needs(readFileSync(join(folder, 'modules.dep'), 'utf8'));
        expect(expected.length).toBeGreaterThan(30);
        expect(needs(gathered.text('modules.dep'))).toEqual(expected);
      });
    });

    test('what is needed first comes last on each line, as modprobe takes it', () => {
      const lines = gathered.text('modules.dep').trimEnd().split('\n');
      const needs = new Map(
        lines.map((line) => [line.split(':')[0], (line.split(': ')[1] ?? '').split(' ')]),
      );
      for (const [, needed] of needs) {
        needed.forEach((file, index) => {
          for (const other of (needs.get(file) ?? []).filter((each) => each !== '')) {
            expect(needed.indexOf(other)).toBeGreaterThan(index);
          }
        });
      }
    });

    test('modinfo knows the same aliases; those of watchdogs are left out', () => {
      const aliases = gathered.text('modules.alias').trimEnd().split('\n');
      const ours = new Map<string, Set<string>>();
      for (const line of aliases) {
        const [word, alias = '', name = '', ...rest] = line.split(' ');
        expect([word, rest]).toEqual(['alias', []]);
        ours.set(name, (ours.get(name) ?? new Set()).add(alias));
      }
      for (const name of watchdogModules) expect([...ours.keys()]).not.toContain(name);
      for (const file of gathered.files) {
        const name = moduleNameOf(file.path);
        if (name === undefined || !ours.has(name)) continue;
        const plain = (all: Iterable<string>) => [...all].filter((alias) => !alias.includes('['));
        const expected = new Set(kmod('modinfo', '-F', 'alias', file.source));
        expect(plain(ours.get(name) ?? []).sort()).toEqual(plain(expected).sort());
      }
      expect(ours.get('xfs')).toContain('fs-xfs');
    });

    test('ranges in aliases are spelled out: busybox would take their dash for an underscore', () => {
      const sets = gathered.text('modules.alias').match(/\[[^\]]*\]/g) ?? [];
      for (const set of sets) expect(set).toMatch(/^\[[0-9A-Za-z]+\]$/);
      if (!gathered.bytes.has('uas.ko.gz')) return;
      const known = gathered.text('modules.alias');
      expect(known).toContain('alias usb:v13FDp3940d0[012]*dc*dsc*dp*ic*isc*ip*in* uas\n');
    });
  },
);

describe('trees of modules', () => {
  const release = '6.1.0-test';
  const module = (fields: Record<string, string> = {}): Uint8Array => {
    const all = { vermagic: `${release} SMP preempt mod_unload `, depends: '', ...fields };
    const info = Object.entries(all).map(([key, value]) => `${key}=${value}\0`);
    return writeElf([{ name: '.modinfo', bytes: Buffer.from(info.join('')) }]);
  };
  type Files = Record<string, string | Uint8Array>;
  const treeOf = async <T>(files: Files, use: (folder: string) => Promise<T>): Promise<T> =>
    await withTemporaryFolder(async (folder) => {
      for (const [path, bytes] of Object.entries(files)) {
        mkdirSync(join(folder, dirname(path)), { recursive: true });
        writeFileSync(join(folder, path), bytes);
      }
      return await use(folder);
    });
  const names = async (files: Files, extra: string[] = []): Promise<string[]> =>
    await treeOf(files, async (folder) => {
      const { files: members } = await gather('/nowhere/vmlinuz', release, extra, folder);
      return members.flatMap(({ path }) => moduleNameOf(path) ?? []);
    });
  const refused = (files: Files, extra: string[] = []) => refusal(names(files, extra));

  test('compressed modules come out as they went in', async () => {
    const plain = module({ alias: 'pci:v1' });
    const pack = (tool: string): Uint8Array => execFileSync(tool, ['-c'], { input: plain });
    const files = {
      'kernel/a/ahci.ko.xz': pack('xz'),
      'kernel/nvme.ko.zst': pack('zstd'),
      'kernel/vmd.ko.gz': pack('gzip'),
      'kernel/uas.ko': plain,
    };
    await treeOf(files, async (folder) => {
      const { bytes } = await gather('/nowhere/vmlinuz', release, [], folder);
      for (const name of ['ahci', 'nvme', 'vmd', 'uas']) {
        expect(gunzipSync(bytes.get(`${name}.ko.gz`) ?? new Uint8Array()).equals(plain)).toBe(true);
      }
    });
  });

  test('modules.dep counts where there is one; what modules.builtin has is not needed', async () => {
    const files = {
      'modules.dep': 'updates/ahci.ko: kernel/libata.ko\nkernel/libata.ko:\n',
      'modules.builtin': 'kernel/scsi_mod.ko\n',
      'updates/ahci.ko': module({ depends: 'nonsense' }),
      'kernel/libata.ko': module(),
      'kernel/ahci.ko': module(),
    };
    expect(await names(files)).toEqual(['libata', 'ahci']);
    const unpacked = {
      'modules.builtin': files['modules.builtin'],
      'kernel/ahci.ko': module({ depends: 'libata,scsi_mod' }),
      'kernel/libata.ko': module(),
    };
    expect(await names(unpacked)).toEqual(['libata', 'ahci']);
  });

  test('--capture-module adds; a name with a dash is the same; one that is built in is there already', async () => {
    const files = {
      'kernel/ahci.ko': module(),
      'kernel/my-disk.ko': module(),
      'modules.builtin': 'kernel/dm-mod.ko\n',
    };
    expect(await names(files, ['my_disk', 'dm-mod'])).toEqual(['ahci', 'my_disk']);
    const error = await refused(files, ['my-dsik']);
    expect(error.kind).toBe('usage');
    expect(error.text).toContain('perhaps my_disk');
    expect((await refused(files, ['../ahci'])).kind).toBe('usage');
  });

  test.each<[string, Files, string, string]>([
    [
      'of another kernel',
      { 'kernel/ahci.ko': module({ vermagic: '6.1.0-other SMP' }) },
      'wrong-file',
      'vermagic 6.1.0-other',
    ],
    ['without a vermagic', { 'kernel/ahci.ko': writeElf([]) }, 'missing-fact', '.modinfo'],
    ['that is cut off', { 'kernel/ahci.ko': module().subarray(0, 200) }, 'truncated', 'ahci.ko'],
    ['that is none', { 'kernel/ahci.ko': 'text' }, 'wrong-file', 'ahci.ko'],
    ['whose packing is damaged', { 'kernel/ahci.ko.gz': 'text' }, 'format', 'ahci.ko.gz'],
    ['whose xz packing is damaged', { 'kernel/ahci.ko.xz': 'text' }, 'tool', 'xz'],
    ['that is not there', { 'modules.dep': 'kernel/ahci.ko:\n' }, 'file', 'ahci.ko'],
    [
      'that needs what is not there',
      { 'kernel/ahci.ko': module({ depends: 'libata' }) },
      'format',
      'ahci needs libata',
    ],
    [
      'that needs itself by way of another',
      {
        'modules.dep': 'ahci.ko: libata.ko\nlibata.ko: ahci.ko\n',
        'ahci.ko': module(),
        'libata.ko': module(),
      },
      'format',
      'ahci needs libata needs ahci',
    ],
    ['outside the folder', { 'modules.dep': '../../../../etc/ahci.ko:\n' }, 'format', 'etc/ahci.ko'],
  ])('a module %s is refused', async (_, files, kind, named) => {
    const error = await refused(files);
    expect(error.kind).toBe(kind);
    expect(error.text).toContain(named);
  });

  test("a machine's modules come beside the default ones, or in their place with what else is not told by files", async () => {
    const files = Object.fromEntries(
      ['ahci', 'nvme', 'ext4', 'xfs', 'crc32c_generic', 'odd'].map((name) => [`kernel/${name}.ko`, module()]),
    );
    await treeOf(files, async (folder) => {
      const of = async (machine: Partial<ModuleChoice>): Promise<readonly string[]> =>
        [...(await gather('/none', release, [], folder, machine)).bytes.keys()]
          .filter((name) => name.endsWith('.ko.gz'))
          .sort();
      const machine = ['odd', 'ext4', 'not_of_this_kernel'];
      expect(await of({ machine })).toEqual(
        Object.keys(files)
          .map((path) => `${basename(path)}.gz`)
          .sort(),
      );
      const only = ['crc32c_generic.ko.gz', 'ext4.ko.gz', 'odd.ko.gz'];
      expect(await of({ machine, machineOnly: true })).toEqual(only);
      // A file system that is not mounted: all of them.
      expect(await of({ machine: ['odd'], machineOnly: true })).toEqual([...only, 'xfs.ko.gz'].sort());
    });
  });

  test('an alias that would end its line in modules.alias does not get there', async () => {
    const files = { 'kernel/ahci.ko': module({ alias: 'x ahci\nalias * vmd' }) };
    await treeOf(files, async (folder) => {
      const { text } = await gather('/nowhere/vmlinuz', release, [], folder);
      expect(text('modules.alias')).toBe('');
    });
  });

  test('they go into the initramfs beside the tools for dumps, with the links of both', async () => {
    await treeOf({ 'kernel/ahci.ko': module() }, async (folder) => {
      const tree = await findModules(release, '/nowhere/vmlinuz', folder);
      const modules = tree && { tree, release, extra: [] };
      const { bytes } = await buildCaptureInitramfs({ dumps: true, modules });
      const names = execFileSync('cpio', ['-it', '--quiet'], { input: gunzipSync(bytes), encoding: 'utf8' });
      expect(names.split('\n')).toEqual(
        expect.arrayContaining(['bin/rm', 'bin/mv', 'bin/insmod', 'bin/load-modules', 'sbin/modprobe']),
      );
    });
  });

  test('they are found beside the kernel, in a given root, or in the given folder itself', async () => {
    await treeOf({ [`lib/modules/${release}/kernel/ahci.ko`]: module(), 'boot/x': '' }, async (root) => {
      const folder = join(root, 'lib/modules', release);
      const found = async (kernel: string, given?: string) =>
        (await findModules(release, kernel, given))?.folder;
      expect(await found(join(root, 'boot/x'))).toBe(folder);
      for (const given of [root, folder, dirname(folder)]) expect(await found('/x/y/z', given)).toBe(folder);
      expect(await found('/x/y/z')).toBe(undefined);
      cpSync(join(root, 'lib'), join(root, 'usr/lib'), { recursive: true });
      execFileSync('rm', ['-r', join(root, 'lib')]);
      expect(await found(join(root, 'boot/x'))).toBe(join(root, 'usr/lib/modules', release));
      const error = await refusal(found('/x', join(root, 'boot')));
      expect(error.kind).toBe('file');
    });
  });
});
