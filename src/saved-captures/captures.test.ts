/** Captures in directories and in disk images, as a user asks for them. The images are made by the file systems' own tools. */
import { createHash } from 'node:crypto';
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  closeSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { oracle, runSaveoops, type CommandResult } from '../testkit/command-line.js';
import { deathLogs } from '../testkit/death-logs.js';
import { parseCaptureName } from './capture-name.js';
import { parseCaptureRecord } from './capture-record.js';
import { defaultPlaces } from './default-places.js';

const folder = mkdtempSync(join(tmpdir(), 'saveoops-captures-'));
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

const log = deathLogs().find(({ name, release }) => name === 'bug' && release.startsWith('6.1.'));
const text = log?.text ?? '';
const older = '20261123T070000Z-6.1.0-56-amd64-0a0001';
const newer = '20261124T180000Z-6.1.0-56-amd64-0b0002';
const unfinished = '20261122T010203Z-unknown-0c0003.incomplete';
const elfcorehdr = 0x38300000;

/** As the capture initramfs writes it. */
const record = {
  version: 1,
  id: '0b0002',
  time: '2026-11-24T18:00:00Z',
  generator: 'saveoops 0.1.0',
  kind: 'panic',
  message: 'Kernel panic - not syncing: Fatal exception',
  primary: { release: '6.1.0-56-amd64', banner: null, commandLine: null },
  crash: { release: '6.1.0-56-amd64', commandLine: `quiet elfcorehdr=0x${elfcorehdr.toString(16)}` },
  cpu: 0,
  memoryKiB: 100000,
  inARow: 2,
  save: {
    asked: 'boot',
    device: '/dev/sda1',
    uuid: '1234-ABCD',
    type: 'vfat',
    directory: `/saveoops/${newer}`,
  },
  dump: { asked: 'filtered', how: 'makedumpfile -l -d 31', encrypted: true },
  files: [
    { name: 'dmesg.txt', size: text.length, sha256: createHash('sha256').update(text).digest('hex') },
    { name: 'vmcore.age', size: 5000, sha256: '00' },
  ],
  failures: ['makedumpfile -l -d 31 (exit status 1: no space)'],
};

const captureLog = '[2.10] saving in /saveoops\n---- log of the crash kernel ----\n[    0.000000] Linux\n';

/** saveoops/ with three captures below `root`. */
function makeCaptures(root: string): void {
  const at = (...names: readonly string[]): string => join(root, 'saveoops', ...names);
  for (const name of [older, newer, unfinished]) mkdirSync(at(name), { recursive: true });
  writeFileSync(at('in-a-row'), '2\n');
  writeFileSync(at(older, 'dmesg.txt'), deathLogs()[0]?.text ?? '');
  writeFileSync(at(newer, 'dmesg.txt'), text);
  writeFileSync(at(newer, 'capture.json'), JSON.stringify(record));
  writeFileSync(at(newer, 'capture.log'), captureLog);
  writeFileSync(at(newer, 'vmcore.age'), Buffer.alloc(5000));
  writeFileSync(at(unfinished, 'dmesg.txt.incomplete'), '[    0.000000] Linux version 6.1.0 (a@b)\n');
}

const sector = 512;
const fatStart = 2048;
const extStart = 67_584;

/** It lives in sbin, which is not on every PATH. */
function mke2fs(args: readonly string[]): void {
  oracle('env', [`PATH=${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`, 'mke2fs', ...args]);
}

/** Two partitions: FAT16 and ext4, each with the captures. */
function makeImage(image: string, tree: string): void {
  writeFileSync(image, '');
  truncateSync(image, 64 << 20);
  const table = Buffer.alloc(66);
  [fatStart, extStart].forEach((start, index) => {
    table.writeUInt8(index === 0 ? 0x0e : 0x83, 16 * index + 4);
    table.writeUInt32LE(start, 16 * index + 8);
    table.writeUInt32LE(60_000, 16 * index + 12);
  });
  table.writeUInt16LE(0xaa55, 64);
  const drive = `${image}@@${fatStart * sector}`;
  oracle('env', [
    'MTOOLS_SKIP_CHECK=1',
    'mformat',
    '-i',
    drive,
    '-T',
    '60000',
    '-h',
    '255',
    '-s',
    '63',
    '::',
  ]);
  oracle('env', ['MTOOLS_SKIP_CHECK=1', 'mcopy', '-s', '-i', drive, join(tree, 'saveoops'), '::/']);
  const offset = `offset=${extStart * sector}`;
  mke2fs(['-q', '-F', '-t', 'ext4', '-d', tree, '-E', offset, image, '29000k']);
  const file = openSync(image, 'r+');
  writeSync(file, table, 0, table.length, 446);
  closeSync(file);
}

interface Listing {
  readonly captures: readonly {
    readonly id: string;
    readonly where: string;
    readonly time: string;
    readonly message: string | null;
    readonly incomplete: boolean;
    readonly size: number;
    readonly files: readonly { readonly name: string; readonly size: number }[];
  }[];
}

const listing = (run: CommandResult): Listing => JSON.parse(run.stdout) as Listing;

const tree = join(folder, 'tree');
const image = join(folder, 'disk with ?@ in its name.img');
beforeAll(() => {
  makeCaptures(tree);
  makeImage(image, tree);
});

const newerSizes = ['capture.json', 'capture.log', 'dmesg.txt', 'vmcore.age'].map((name) => ({
  name,
  size:
    name === 'vmcore.age'
      ? 5000
      : name === 'dmesg.txt'
        ? text.length
        : name === 'capture.log'
          ? captureLog.length
          : JSON.stringify(record).length,
}));

describe('saveoops captures', () => {
  test.each([
    ['of the directory', join(tree, 'saveoops')],
    ['of the root of a file system', tree],
  ])('%s lists them newest first', (_, where) => {
    const run = runSaveoops(['captures', where, '--json']);
    expect([run.status, run.stderr]).toEqual([0, '']);
    const { captures } = listing(run);
    expect(captures.map(({ id, time, message, incomplete }) => [id, time, message, incomplete])).toEqual([
      ['0b0002', '2026-11-24T18:00:00Z', record.message, false],
      ['0a0001', '2026-11-23T07:00:00Z', null, false],
      ['0c0003', '2026-11-22T01:02:03Z', null, true],
    ]);
    expect(captures[0]?.files).toEqual(newerSizes);
  });

  test('of a disk image lists those of each partition, FAT and ext4, with the same files', () => {
    const run = runSaveoops(['captures', image, '--json']);
    expect([run.status, run.stderr]).toEqual([0, '']);
    const { captures } = listing(run);
    expect(captures.map(({ id }) => id)).toEqual([
      '0b0002',
      '0b0002',
      '0a0001',
      '0a0001',
      '0c0003',
      '0c0003',
    ]);
    for (const { files, message } of captures.slice(0, 2)) {
      expect([...files].sort((a, b) => (a.name < b.name ? -1 : 1))).toEqual(newerSizes);
      expect(message).toBe(record.message);
    }
  });

  test('of a file system without partitions lists them', () => {
    const plain = join(folder, 'plain.img');
    mke2fs(['-q', '-F', '-t', 'ext2', '-d', tree, plain, '8000k']);
    expect(listing(runSaveoops(['captures', plain, '--json'])).captures).toHaveLength(3);
  });

  test('says in the table what is there', () => {
    const { stdout } = runSaveoops(['captures', tree]);
    expect(stdout).toMatch(/^0b0002 .* log, encrypted dump +Kernel panic - not syncing: Fatal exception$/m);
    expect(stdout).toMatch(/^0c0003 .* unknown .* incomplete +log/m);
  });

  test('exit code 1 when there is none, 74 when there is no such place, 65 for a file that is no image', () => {
    const empty = join(folder, 'empty');
    mkdirSync(empty);
    expect(runSaveoops(['captures', empty]).status).toBe(1);
    expect(runSaveoops(['captures', join(folder, 'nowhere')]).status).toBe(74);
    expect(runSaveoops(['captures', join(tree, 'saveoops', 'in-a-row')]).status).toBe(65);
  });
});

interface Reported {
  readonly cause: { readonly kind: string; readonly pid: number } | null;
  readonly capture: {
    readonly id: string;
    readonly failures: readonly string[];
    readonly notes: readonly string[];
  };
  readonly memory: { readonly crashRegion: { readonly how: string } };
  readonly next: readonly { readonly command: string | null }[];
}

describe('saveoops report', () => {
  const report = (argument: string): Reported => {
    const run = runSaveoops(['report', argument, '--json']);
    expect([argument, run.status, run.stderr]).toEqual([argument, 0, '']);
    return JSON.parse(run.stdout) as Reported;
  };

  test.each([
    ['a capture directory', join(tree, 'saveoops', newer)],
    ['the newest in a directory', tree],
    ['DIR:ID', `${tree}:0b`],
    ['DIR:last', `${tree}:last`],
  ])('of %s tells what died, what was saved and what failed', (_, argument) => {
    const { cause, capture, memory, next } = report(argument);
    expect([cause?.kind, cause?.pid]).toEqual(['usercopy', log?.facts.pid]);
    expect(capture.id).toBe('0b0002');
    expect(capture.failures).toEqual(record.failures);
    expect(capture.notes).toEqual(['[2.10] saving in /saveoops']);
    // The headers' address is in capture.json, and the region where the log says "reserved".
    expect(memory.crashRegion.how).toBe('elfcorehdr');
    expect(next.map(({ command }) => command ?? '').join('\n')).toMatch(
      /^age --decrypt .*vmcore\.age \| makedumpfile -R vmcore$/m,
    );
  });

  test('of IMAGE:ID reads the log inside, and tells how to get the dump out of FAT and of ext4', () => {
    const run = listing(runSaveoops(['captures', image, '--json']));
    expect(run.captures).toHaveLength(6);
    // Both partitions have the same captures: one image of each kind.
    for (const [name, start] of [
      ['fat.img', fatStart],
      ['ext.img', extStart],
    ] as const) {
      const one = join(folder, name);
      copyFileSync(image, one);
      const file = openSync(one, 'r+');
      writeSync(file, Buffer.alloc(4096), 0, 4096, (start === fatStart ? extStart : fatStart) * sector);
      closeSync(file);
      const { cause, capture, next } = report(`${one}:0b0002`);
      expect([cause?.kind, capture.id]).toEqual(['usercopy', '0b0002']);
      const copy =
        next.map(({ command }) => command ?? '').find((command) => /^(mcopy|debugfs)/.test(command)) ?? '';
      const here = join(folder, `out-${name}`);
      mkdirSync(here);
      oracle('sh', ['-c', `cd ${here} && PATH=$PATH:/usr/sbin:/sbin MTOOLS_SKIP_CHECK=1 ${copy} 2>&1`]);
      expect(statSync(join(here, 'vmcore.age')).size).toBe(5000);
    }
  });

  test('of a bare log needs no capture', () => {
    const run = runSaveoops(['report', log?.path ?? '']);
    expect([run.status, run.stderr]).toEqual([0, '']);
    expect(run.stdout).toContain('kernel BUG at mm/usercopy.c');
    expect(run.stdout).not.toContain('Saved');
  });

  test('writes HTML, for its owner alone', () => {
    const html = join(folder, 'report.html');
    expect(runSaveoops(['report', join(tree, 'saveoops', newer), '--html', html]).status).toBe(0);
    expect(readFileSync(html, 'utf8')).toMatch(
      /^<!DOCTYPE html>[^]*<svg class="timeline"[^]*<svg class="memory"/,
    );
    expect(statSync(html).mode & 0o777).toBe(0o600);
  });

  test('says that a log is not what was saved', () => {
    const changed = join(folder, 'changed', newer);
    mkdirSync(changed, { recursive: true });
    writeFileSync(join(changed, 'capture.json'), JSON.stringify(record));
    writeFileSync(join(changed, 'dmesg.txt'), text.replace('BUG at', 'bug at'));
    const { failures } = report(changed).capture;
    expect(failures).toContain('dmesg.txt is not what was saved: its SHA-256 differs');
    expect(failures).toContain('vmcore.age was saved, and is not there any more');
  });

  test('copes with any file missing, damaged or unfinished', () => {
    const poor = join(folder, 'poor', newer);
    mkdirSync(poor, { recursive: true });
    const run = runSaveoops(['report', poor]);
    expect([run.status, run.stderr]).toEqual([1, '']);
    expect(run.stdout).toContain('there is no log');
    writeFileSync(join(poor, 'capture.json'), '{"files": 7, "primary": [], "save": {"device": {}}');
    writeFileSync(join(poor, 'dmesg.txt.incomplete'), text.slice(0, text.indexOf('usercopy_abort') + 40));
    const cut = runSaveoops(['report', poor]);
    expect([cut.status, cut.stderr]).toEqual([0, '']);
    expect(cut.stdout).toContain('no whole capture.json');
    expect(cut.stdout).toContain('dmesg.txt.incomplete is not whole');
  });

  test('follows no link that lies in a capture', () => {
    const linked = join(folder, 'linked', newer);
    mkdirSync(linked, { recursive: true });
    symlinkSync(log?.path ?? '', join(linked, 'dmesg.txt'));
    const run = runSaveoops(['report', linked]);
    expect([run.status, run.stdout]).toEqual([74, '']);
  });

  test('refuses what begins two IDs, and what begins none', () => {
    const two = runSaveoops(['report', `${tree}:0`]);
    expect([two.status, two.stderr]).toEqual([64, expect.stringContaining('more than one')]);
    expect(runSaveoops(['report', `${tree}:ffffff`]).status).toBe(74);
    expect(runSaveoops(['report', join(folder, 'nowhere')]).status).toBe(74);
  });
});

describe('the places of a system', () => {
  test('are where the file system that the command line or the configuration names is mounted, then the usual ones', async () => {
    const root = join(folder, 'system');
    for (const path of ['proc/self', 'dev/disk/by-uuid', 'mnt/a disk/saveoops', 'boot/saveoops', 'boot/efi'])
      mkdirSync(join(root, path), { recursive: true });
    writeFileSync(join(root, 'dev/sdb1'), '');
    symlinkSync('../../sdb1', join(root, 'dev/disk/by-uuid/1234-ABCD'));
    writeFileSync(join(root, 'proc/cmdline'), 'BOOT_IMAGE=saveoops.c32 saveoops.boot=1234-ABCD\n');
    const line = '36 35 8:1 / /mnt/a\\040disk rw,noatime shared:1 - vfat /dev/sdb1 rw\n';
    writeFileSync(join(root, 'proc/self/mountinfo'), `22 1 8:2 / / rw - ext4 /dev/sda2 rw\n${line}`);
    expect(await defaultPlaces(root)).toEqual([
      join(root, 'mnt/a disk/saveoops'),
      join(root, 'boot/saveoops'),
    ]);
    mkdirSync(join(root, 'etc'));
    mkdirSync(join(root, 'dev/disk/by-label'));
    mkdirSync(join(root, 'mnt/a disk/crash'));
    symlinkSync('../../sdb1', join(root, 'dev/disk/by-label/data'));
    const config = join(root, 'etc/saveoops.yaml');
    writeFileSync(config, 'save: LABEL=data:/crash\n');
    expect(await defaultPlaces(root)).toEqual([join(root, 'mnt/a disk/crash'), join(root, 'boot/saveoops')]);
    writeFileSync(config, 'save: [\n');
    expect(await defaultPlaces(root)).toEqual([
      join(root, 'mnt/a disk/saveoops'),
      join(root, 'boot/saveoops'),
    ]);
  });
});

test.each([
  ['20261124T180000Z-6.1.0-56-amd64-a1b2c3', '6.1.0-56-amd64', false],
  ['20261124T180000Z-unknown-a1b2c3.incomplete', 'unknown', true],
  ['20261124T180000Z-7.2.13+deb14-amd64-a1b2c3', '7.2.13+deb14-amd64', false],
])('%s is the name of a capture', (name, release, incomplete) => {
  expect(parseCaptureName(name)).toEqual({
    name,
    time: '2026-11-24T18:00:00Z',
    release,
    id: 'a1b2c3',
    incomplete,
  });
});

test.each(['in-a-row', '20261124T180000Z-6.1-A1B2C3', '2026-6.1-a1b2c3', '20261124T180000Z-../x-a1b2c3', ''])(
  '%j is not the name of a capture',
  (name) => {
    expect(parseCaptureName(name)).toBeUndefined();
  },
);

test('a record is read for what it has; what has another type is null', () => {
  expect(parseCaptureRecord('[]')).toBeUndefined();
  expect(parseCaptureRecord('{"id":')).toBeUndefined();
  const read = parseCaptureRecord(
    '{"id": 7, "cpu": "x", "files": [3, {"name": "a"}], "failures": [1, "b"], "x": 1}',
  );
  expect(read).toMatchObject({ id: null, cpu: null, files: [{ name: 'a', size: null }], failures: ['b'] });
  expect(parseCaptureRecord(JSON.stringify(record))).toMatchObject({
    id: '0b0002',
    inARow: 2,
    save: record.save,
  });
});
