import { createHash } from 'node:crypto';
import { open, readdir, readFile, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { execa } from 'execa';
import { runImage } from '../commands/image.js';
import { withTemporaryFolder } from '../host/files.js';
import { parseBootConfig, unattendedConfig } from './boot-config.js';
import { makeDiskImage } from './disk-image.js';
import { fatGeometry, roomForCaptures } from './fat-geometry.js';
import { makeIsoImage } from './iso-image.js';
import { readManifest, readPayloadFolder } from './payload-folder.js';
import { diskImageNeeds, requireOnHost } from './requirements.js';

const config = `# a comment
DEFAULT saveoops
TIMEOUT 30
ONTIMEOUT plain
LABEL saveoops
  COM32 saveoops.c32
  APPEND root=/dev/sda1 quiet
LABEL saveoops-test
  com32 saveoops.c32
LABEL plain
  MENU LABEL Plain
  TEXT HELP
  LINUX is no directive here
  ENDTEXT
  LINUX vmlinuz
  INITRD a.img,b.img
  APPEND root=/dev/sda1
`;

async function writePayload(folder: string): Promise<void> {
  for (const [name, text] of [
    ['saveoops.c32', 'x'.repeat(3_000_000)],
    ['syslinux.cfg', config],
    ['vmlinuz', 'kernel'],
    ['a.img', 'a'],
    ['b.img', 'b'],
    ['unrelated.txt', 'stays at home'],
  ] as const) {
    await writeFile(join(folder, name), text);
  }
}

async function sha256(path: string): Promise<string> {
  return createHash('sha256')
    .update(await readFile(path))
    .digest('hex');
}

describe('boot media', () => {
  test.each([
    ['disk', makeDiskImage],
    ['ISO', makeIsoImage],
  ] as const)('%s: the same files give the same bytes, whatever their times', async (_, make) => {
    await withTemporaryFolder(async (folder) => {
      await writePayload(folder);
      const { files } = await readPayloadFolder(folder);
      await make(files, join(folder, 'one.out'));
      await utimes(join(folder, 'vmlinuz'), 1, 1);
      // Times on FAT have a resolution of two seconds.
      await new Promise((resolve) => setTimeout(resolve, 2100));
      await make(files, join(folder, 'two.out'));
      expect(await sha256(join(folder, 'two.out'))).toBe(await sha256(join(folder, 'one.out')));
      expect((await readdir(folder)).filter((name) => name.startsWith('.saveoops'))).toEqual([]);
    });
  });

  test('a disk has one active partition, which holds every file; file(1) and mtools agree', async () => {
    await withTemporaryFolder(async (folder) => {
      await writePayload(folder);
      const out = join(folder, 'boot.img');
      const said: string[] = [];
      await runImage({ dir: folder, out }, { out: (text) => said.push(text) });
      expect(said.join('')).toContain('FAT16');
      const { stdout: kind } = await execa('file', ['-b', out]);
      expect(kind).toMatch(
        /DOS\/MBR boot sector; partition 1 : ID=0xe, active, .*startsector 2048, 141312 sectors/,
      );
      const { stdout: list } = await execa('mdir', ['-b', '-i', `${out}@@1048576`, '::/syslinux']);
      expect(list.split('\n').map((path) => path.split('/').at(-1))).toEqual([
        ...['saveoops.c32', 'syslinux.cfg', 'vmlinuz', 'a.img', 'b.img'],
      ]);
      const copied = await execa('mtype', ['-i', `${out}@@1048576`, '::/syslinux/saveoops.c32'], {
        encoding: 'buffer',
      });
      expect(Buffer.from(copied.stdout).equals(await readFile(join(folder, 'saveoops.c32')))).toBe(true);
    });
  });

  test('a large payload makes FAT32, sparse on the host', async () => {
    await withTemporaryFolder(async (folder) => {
      const big = join(folder, 'big');
      const file = await open(big, 'w');
      await file.truncate(1100 << 20);
      await file.close();
      const made = await makeDiskImage([{ name: 'big', source: big }], join(folder, 'boot.img'));
      expect(made.fileSystem).toBe('FAT32');
      const { stdout } = await execa('file', ['-b', join(folder, 'boot.img')]);
      expect(stdout).toContain('ID=0xc');
    });
  }, 120_000);

  test('FAT types keep clear of the limits between them', () => {
    for (let mib = 1; mib < 4000; mib += 37) {
      const { bits, clusterSectors, partitionSectors } = fatGeometry([mib * 2 ** 20], roomForCaptures);
      const clusters = partitionSectors / clusterSectors;
      if (bits === 16) expect(clusters > 4200 && clusters < 65_500).toBe(true);
      else expect(clusters).toBeGreaterThan(66_000);
      expect(partitionSectors * 512).toBeGreaterThan(mib * 2 ** 20);
    }
  });
});

describe('wrong inputs', () => {
  const quiet = { out: (): void => undefined };

  test.each(['saveoops.c32', 'syslinux.cfg', 'b.img'])('a folder without %s', async (name) => {
    await withTemporaryFolder(async (folder) => {
      await writePayload(folder);
      await execa('rm', [join(folder, name)]);
      const out = join(folder, 'out.img');
      await expect(runImage({ dir: folder, out }, quiet)).rejects.toMatchObject({
        kind: 'file',
        message: expect.stringContaining(`has no ${name}`),
      });
      expect(await readdir(folder)).not.toContain('out.img');
    });
  });

  test('no folder for the result; a name twice; a name from elsewhere; no manifest', async () => {
    await withTemporaryFolder(async (folder) => {
      await writePayload(folder);
      const missing = join(folder, 'none', 'out.img');
      for (const iso of [false, true]) {
        await expect(runImage({ dir: folder, out: missing, iso }, quiet)).rejects.toMatchObject({
          kind: 'file',
          hint: `mkdir -p ${join(folder, 'none')}`,
        });
      }
      const source = join(folder, 'vmlinuz');
      const twice = [
        { name: 'a', source },
        { name: 'A', source },
      ];
      await expect(makeDiskImage(twice, join(folder, 'x'))).rejects.toMatchObject({ kind: 'usage' });
      await expect(readManifest(folder)).rejects.toMatchObject({ kind: 'file' });
      await writeFile(join(folder, 'saveoops.json'), '{"format":1}');
      await expect(readManifest(folder)).rejects.toMatchObject({ kind: 'format' });
      await writeFile(join(folder, 'syslinux.cfg'), 'LABEL x\nLINUX /boot/vmlinuz\n');
      await expect(runImage({ dir: folder, out: missing }, quiet)).rejects.toMatchObject({
        kind: 'unsupported',
      });
    });
  });

  test('missing tools are named all at once, with the apt line', async () => {
    const files = [...diskImageNeeds, { package: 'syslinux-common', file: '/nonexistent' }];
    await expect(requireOnHost(files, '/nonexistent')).rejects.toMatchObject({
      kind: 'tool',
      hint: 'apt-get install mtools syslinux syslinux-common',
    });
  });
});

describe('syslinux.cfg', () => {
  test('is read: entries, files, default', () => {
    const parsed = parseBootConfig(config);
    expect(parsed.defaultLabel).toBe('saveoops');
    expect(parsed.files).toEqual(['saveoops.c32', 'vmlinuz', 'a.img', 'b.img']);
    expect(parsed.entries.map(({ label, kind, append }) => [label, kind, append])).toEqual([
      ['saveoops', 'COM32', 'root=/dev/sda1 quiet'],
      ['saveoops-test', 'COM32', ''],
      ['plain', 'LINUX', 'root=/dev/sda1'],
    ]);
  });

  test('for an unattended boot: one label at once, its APPEND longer, no menu, no timeout', () => {
    expect(unattendedConfig(config, 'saveoops', 'console=ttyS0')).toBe(`SERIAL 0 115200
PROMPT 0
DEFAULT saveoops
LABEL saveoops
  COM32 saveoops.c32
  APPEND root=/dev/sda1 quiet console=ttyS0
LABEL saveoops-test
  com32 saveoops.c32
LABEL plain
  LINUX vmlinuz
  INITRD a.img,b.img
  APPEND root=/dev/sda1
`);
    expect(unattendedConfig(config, 'saveoops-test', 'x')).toContain('  com32 saveoops.c32\n  APPEND x\n');
  });
});

describe('saveoops image', () => {
  /** The APPEND lines on the medium. */
  const appends = async (text: string, iso: boolean): Promise<readonly string[]> =>
    await withTemporaryFolder(async (folder) => {
      await writePayload(folder);
      await writeFile(join(folder, 'syslinux.cfg'), text);
      const out = join(folder, 'out');
      await runImage({ dir: folder, out, iso }, { out: () => undefined });
      const copy = join(folder, 'copy.cfg');
      if (iso)
        await execa('xorriso', ['-osirrox', 'on', '-indev', out, '-extract', '/isolinux/syslinux.cfg', copy]);
      else await execa('mcopy', ['-i', `${out}@@${1 << 20}`, '::/syslinux/syslinux.cfg', copy]);
      const lines = (await readFile(copy, 'utf8')).split('\n');
      return lines.filter((line) => line.includes('APPEND')).map((line) => line.trim());
    });
  const crashEntry = (words: string): string => `LABEL saveoops-crash\n  LINUX vmlinuz\n  APPEND ${words}\n`;
  const armed = 'APPEND root=/dev/sda1 quiet';
  const plain = 'APPEND root=/dev/sda1';

  test.each([
    ['captures are saved on it', config, false, [`${armed} saveoops.save=boot`, plain]],
    ['but not on an ISO image', config, true, [armed, plain]],
    [
      'unless build --save has said where',
      config + crashEntry('saveoops.save=none'),
      false,
      [armed, plain, 'APPEND saveoops.save=none'],
    ],
    [
      'or the entry does',
      config.replace('quiet', 'saveoops.save=LABEL=x'),
      false,
      ['APPEND root=/dev/sda1 saveoops.save=LABEL=x', plain],
    ],
    [
      'an entry with an empty APPEND',
      config.replace(/root=.*quiet/, '-'),
      false,
      ['APPEND saveoops.save=boot', plain],
    ],
  ])('%s', async (_, text, iso, expected) => {
    expect(await appends(text, iso)).toEqual(expected);
  });
});
