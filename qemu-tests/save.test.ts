/**
 * Where a capture is saved, and where nothing is written. The file systems are read on the host by their own tools;
 * what was saved is compared with what the machine printed, and with what those who made it say.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { readManifest } from '../src/image/payload-folder.js';
import type { ScenarioResult } from '../src/machine/scenario.js';
import { serialLines } from '../src/machine/serial-text.js';
import { everyLane, few, thorough } from '../src/testkit/lanes.js';
import { bootPayload, captured, check, serialConsole } from './harness/boot.js';
import { bootFat } from './harness/boot-fat.js';
import { Disk, host, sha256Of, sizeOf } from './harness/disks.js';
import { payload } from './harness/payloads.js';

const minutes = 60_000;
const panic = 'Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)';

const made: { remove: () => void }[] = [];
afterAll(() => {
  for (const each of made) each.remove();
});

function disk(...what: ConstructorParameters<typeof Disk>): Disk {
  const one = new Disk(...what);
  made.push(one);
  return one;
}

let folder: string;
let privateKey: string;
let publicKey: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'svo-'));
  made.push({
    remove: () => {
      rmSync(folder, { recursive: true, force: true });
    },
  });
  privateKey = join(folder, 'key');
  host('age-keygen', ['-o', privateKey]);
  publicKey = join(folder, 'key.pub');
  writeFileSync(publicKey, host('age-keygen', ['-y', privateKey]));
});

/** Without an initramfs: it panics for want of a root file system. */
async function plainPayload(): Promise<string> {
  return await payload({
    flavour: 'amd64',
    dump: 'filtered',
    crashAppend: 'saveoops.hold=0',
    name: 'save',
  });
}

/** Boots, panics, and goes on until the crash kernel has restarted the machine. */
async function crash(
  dir: string,
  words: string,
  disks: readonly Disk[],
  more: Parameters<typeof bootPayload>[1] = {},
): Promise<ScenarioResult> {
  const run = await bootPayload(dir, {
    memory: 512,
    endAt: [],
    extraAppend: `${serialConsole} ${words}`,
    extra: disks.flatMap((each) => each.options),
    ...more,
  });
  captured(run, panic);
  return run;
}

/** What the crash kernel said of saving, without "saveoops: ". */
function told(run: ScenarioResult): readonly string[] {
  return serialLines(run.serial).flatMap((line) => {
    const [, text] = /^saveoops: ((?:not saved|saved|in \/|failed).*)$/.exec(line) ?? [];
    return text === undefined ? [] : [text];
  });
}

interface Capture {
  readonly save: Readonly<Record<string, unknown>>;
  readonly dump: Readonly<Record<string, unknown>>;
  readonly files: readonly { readonly name: string; readonly size: number; readonly sha256: string }[];
  readonly failures: readonly string[];
}

/** capture.json, whose files are what it says. */
function expectCapture(text: string, file: (name: string) => string): Capture {
  const capture = JSON.parse(text) as Capture;
  for (const { name, size, sha256 } of capture.files) {
    const [digest] = host('sha256sum', [file(name)]).split(' ');
    expect([name, size, sha256]).toEqual([name, sizeOf(file(name)), digest]);
  }
  return capture;
}

/** The machine has printed the end of dmesg.txt, line by line, and of nothing longer than that said it was all. */
function expectPrinted(run: ScenarioResult, dmesg: string, last = 200): void {
  const lines = dmesg.trimEnd().split('\n');
  expect(lines.length).toBeGreaterThan(200);
  expect(captured(run, panic).trimEnd().split('\n')).toEqual(lines.slice(-last));
  const told = serialLines(run.serial).filter((line) => /^saveoops: the last \d+ lines; /.test(line));
  expect(told).toEqual(last === 200 ? ['saveoops: the last 200 lines; all are on the disk'] : []);
}

function logOfDump(dump: string): string {
  const out = `${dump}.log`;
  host('makedumpfile', ['-f', '--dump-dmesg', dump, out]);
  return host('cat', [out]);
}

test(
  'save=boot: on the FAT that Syslinux started from, and nowhere else',
  async () => {
    const dir = await plainPayload();
    const { primary } = await readManifest(dir);
    const others = [disk('ext4', 'other', 32), disk('swap', 'swap', 32)];
    const before = others.map((each) => each.sha256);
    const run = await crash(dir, 'saveoops.save=boot saveoops.print=all', others, { writable: true });
    check(run, () => {
      const { partition, list, file: fat } = bootFat(run, join(folder, 'boot'));
      const [name = '', ...rest] = list('saveoops');
      expect(rest).toEqual(['in-a-row']);
      expect(/^\d{8}T\d{6}Z-(.*)-[0-9a-f]{6}$/.exec(name)?.[1]).toBe(primary.release);
      const at = `saveoops/${name}`;
      expect(list(at)).toEqual(['capture.json', 'capture.log', 'dmesg.txt', 'vmcore']);
      expectPrinted(run, host('cat', [fat(`${at}/dmesg.txt`)]), Infinity);
      expect(logOfDump(fat(`${at}/vmcore`))).toContain(panic);
      const capture = expectCapture(host('cat', [fat(`${at}/capture.json`)]), (file) => fat(`${at}/${file}`));
      const uuid = host('blkid', ['-p', '-o', 'value', '-s', 'UUID', partition]).trim();
      expect(capture).toMatchObject({
        version: 1,
        kind: 'panic',
        message: panic,
        primary: { release: primary.release },
        cpu: 0,
        save: { asked: 'boot', device: '/dev/sda1', uuid, type: 'vfat', directory: `/${at}` },
        dump: { asked: 'filtered', how: 'makedumpfile -l -d 31', encrypted: false },
        files: [{ name: 'dmesg.txt' }, { name: 'vmcore' }],
        failures: [],
      });
      const log = host('cat', [fat(`${at}/capture.log`)]);
      expect(log).toContain(`saving in /${at}`);
      expect(log).toContain('elfcorehdr='); // the crash kernel's command line, in its own log
      expect(told(run)).toEqual([
        `saved on /dev/sda1 (vfat, boot, UUID ${uuid})`,
        `in /${at}: dmesg.txt, vmcore`,
      ]);
      expect(sha256Of(fat('syslinux/saveoops.c32'))).toBe(sha256Of(join(dir, 'saveoops.c32')));
      expect(others.map((each) => each.sha256)).toEqual(before);
    });
  },
  5 * minutes,
);

test(
  everyLane
    ? 'by label, encrypted, twice: the second fills the disk and takes nothing from the first'
    : 'by label, encrypted',
  async () => {
    const data = disk('ext4', 'data', 48);
    const dir = await payload({
      flavour: 'amd64',
      save: 'LABEL=data:/crash/here',
      dump: 'filtered',
      dumpKey: publicKey,
      crashAppend: 'saveoops.hold=0',
      name: 'save-encrypted',
    });
    const first = await crash(dir, '', [data]);
    const digests = (name: string): readonly string[] =>
      data
        .names(`crash/here/${name}`)
        .map((file) => `${file} ${sha256Of(data.file(`crash/here/${name}/${file}`))}`);
    const one = check(first, () => {
      const [name = '', ...rest] = data.names('crash/here');
      expect(rest).toEqual(['in-a-row']);
      const at = `crash/here/${name}`;
      data.fsck();
      expect(data.names(at)).toEqual(['capture.json', 'capture.log', 'dmesg.txt', 'vmcore.age']);
      expectPrinted(first, data.text(`${at}/dmesg.txt`));
      const capture = expectCapture(data.text(`${at}/capture.json`), (file) => data.file(`${at}/${file}`));
      expect(capture.dump).toEqual({
        asked: 'filtered',
        how: 'makedumpfile -F -l -d 31 | age',
        encrypted: true,
      });
      expect(capture.failures).toEqual([]);
      expect(host('debugfs', ['-R', `stat /${at}`, data.image])).toMatch(/Mode: +0700/);
      for (const file of data.names(at)) {
        expect(host('debugfs', ['-R', `stat /${at}/${file}`, data.image])).toMatch(/Mode: +0600/);
      }
      const flat = join(folder, 'flat');
      host('age', ['--decrypt', '-i', privateKey, '-o', flat, data.file(`${at}/vmcore.age`)]);
      const dump = join(folder, 'decrypted');
      host('sh', ['-c', 'makedumpfile -R "$1" <"$2"', 'sh', dump, flat]);
      expect(logOfDump(dump)).toContain(panic);
      return { name, digests: digests(name) };
    });
    if (!everyLane) return;
    const second = await crash(dir, 'saveoops.dump=full', [data]);
    check(second, () => {
      const names = data.names('crash/here').filter((name) => name !== 'in-a-row');
      expect(names).toHaveLength(2);
      expect(digests(one.name)).toEqual(one.digests);
      const at = `crash/here/${names.find((name) => name !== one.name)}`;
      data.fsck();
      expect(data.names(at)).toEqual(['capture.json', 'capture.log', 'dmesg.txt', 'vmcore.age.incomplete']);
      expectPrinted(second, data.text(`${at}/dmesg.txt`));
      const capture = expectCapture(data.text(`${at}/capture.json`), (file) => data.file(`${at}/${file}`));
      expect(capture.files.map(({ name }) => name)).toEqual(['dmesg.txt']);
      const failure = expect.stringMatching(
        /^makedumpfile -F -l -d 1 \| age \(exit status \d+: no space left\)$/,
      );
      expect(capture.failures).toEqual([failure]);
      expect(told(second)).toEqual([
        expect.stringMatching(/^saved on \/dev\/vda \(ext4, LABEL=data, UUID /),
        `in /${at}: dmesg.txt`,
        expect.stringMatching(/^failed: makedumpfile .*no space left/),
      ]);
    });
  },
  8 * minutes,
);

describe('nothing is written to any disk', () => {
  test.each(
    few(1, [
      [
        'a swap partition holds a hibernation image',
        'LABEL=data',
        4086,
        '',
        /^not saved: \/dev\/vdb holds a hibernation image/,
      ],
      [
        'a swap file holds one',
        'LABEL=data',
        77 * 4096 + 4086,
        'resume_offset=77',
        /^not saved: \/dev\/vdb, page 77 holds/,
      ],
      [
        'two file systems have the name',
        'LABEL=twice',
        0,
        '',
        /^not saved: LABEL=twice is not unique: \/dev\/vdc \/dev\/vdd$/,
      ],
      ['none is named', 'none', 0, '', /^not saved to a disk: none is named/],
    ]),
  )(
    'when %s',
    async (_, save, at, words, expected) => {
      const disks = [
        disk('ext4', 'data', 32),
        disk('swap', 'swap', 32),
        ...(save === 'LABEL=twice' ? [disk('ext4', 'twice', 32), disk('vfat', 'twice', 32)] : []),
      ];
      if (at !== 0) disks[1]?.poke(at, 'S1SUSPEND\0');
      const before = disks.map((each) => each.sha256);
      let written: unknown;
      const run = await crash(
        await plainPayload(),
        `saveoops.save=${save} saveoops.hold=60 ${words}`,
        disks,
        {
          writable: true,
          meanwhile: async (machine, connect) => {
            const qmp = await connect();
            await machine.waitForLine([/^saveoops: reboot in 60 seconds/], { timeoutMs: 150_000 });
            written = await qmp.execute('query-blockstats');
            await qmp.quit();
          },
        },
      );
      check(run, () => {
        expect(told(run)).toEqual([expect.stringMatching(expected)]);
        expect(disks.map((each) => each.sha256)).toEqual(before);
        const writes = (written as { device: string; stats: { wr_operations: number } }[]).map(
          ({ device, stats }) => [device, stats.wr_operations],
        );
        expect(writes).toEqual([['disk', 0], ...disks.map(({ id }) => [id, 0])]);
      });
    },
    4 * minutes,
  );
});

describe('other file systems', () => {
  thorough.each([
    ['xfs', 320],
    ['btrfs', 128],
  ] as const)(
    '%s, by UUID',
    async (format, size) => {
      const data = disk(format, 'data', size);
      const uuid = host('blkid', ['-p', '-o', 'value', '-s', 'UUID', data.image]).trim();
      const run = await crash(await plainPayload(), `saveoops.save=UUID=${uuid.toUpperCase()}`, [data]);
      check(run, () => {
        data.fsck();
        const [name = '', ...rest] = data.names('saveoops');
        expect(rest).toEqual(['in-a-row']);
        expectPrinted(run, data.text(`saveoops/${name}/dmesg.txt`));
        const capture = expectCapture(data.text(`saveoops/${name}/capture.json`), (file) =>
          data.file(`saveoops/${name}/${file}`),
        );
        expect(capture.files.map((file) => file.name)).toEqual(['dmesg.txt', 'vmcore']);
      });
    },
    4 * minutes,
  );
});
