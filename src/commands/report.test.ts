/** What the command adds to the report: standard input, compression, exit codes, bundles, news. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, describe, expect, test } from '@jest/globals';
import type { Report } from '../report/report.js';
import { oracle, runSaveoops } from '../testkit/command-line.js';
import { deathLogs } from '../testkit/death-logs.js';
import { reportExitCodes } from './report.js';

const folder = mkdtempSync(join(tmpdir(), 'saveoops-report-'));
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});
const log = deathLogs().find(({ name }) => name === 'null-dereference-tainted');
const text = log?.text ?? '';
const file = (name: string, bytes: Uint8Array | string): string => {
  writeFileSync(join(folder, name), bytes);
  return join(folder, name);
};
const MiB = 1 << 20;

describe('a log', () => {
  const plain = JSON.parse(runSaveoops(['report', log?.path ?? '', '--json']).stdout) as Report;
  const filler = `${'[    9.000000] a line that is there to fill the log\n'.repeat((17 * MiB) / 50)}`;

  test.each([
    ['as it is', Buffer.from(text)],
    ['by gzip', gzipSync(text)],
    ['by gzip, in UTF-16', gzipSync(Buffer.from(`\ufeff${text}`, 'utf16le'))],
  ])('%s, in a file and on standard input', (name, bytes) => {
    const path = file('log', bytes);
    for (const run of [
      runSaveoops(['report', path, '--json']),
      runSaveoops(['report', '-', '--json'], folder, bytes),
    ]) {
      expect([name, run.status, run.stderr]).toEqual([name, reportExitCodes.death, '']);
      const { cause, kernel } = JSON.parse(run.stdout) as Report;
      expect([cause, kernel]).toEqual([plain.cause, plain.kernel]);
    }
  });

  test.each([
    ['plain', (bytes: Buffer) => bytes],
    ['compressed', gzipSync],
    ['in UTF-16', (bytes: Buffer) => Buffer.from(`\ufeff${bytes.toString()}`, 'utf16le')],
  ])(
    'of which the end is read, %s',
    (_, encode) => {
      const path = file('long', encode(Buffer.from(filler + text)));
      const run = runSaveoops(['report', path, '--json']);
      const { cause, source } = JSON.parse(run.stdout) as Report;
      expect([cause?.trace, source.cut]).toEqual([plain.cause?.trace, true]);
    },
    120_000,
  );

  test('that gzip gave up half-way is read as far as it goes', () => {
    const bytes = gzipSync(text + filler.slice(0, MiB));
    const run = runSaveoops(['report', file('half.gz', bytes.subarray(0, bytes.length - 20)), '--json']);
    expect((JSON.parse(run.stdout) as Report).cause?.at).toEqual(plain.cause?.at);
  });

  test('that is no gzip although it begins so: exit code 65', () => {
    const run = runSaveoops(['report', file('bad.gz', Buffer.from([0x1f, 0x8b, 0xff, 0xff, 0xff]))]);
    expect([run.status, run.stdout]).toEqual([65, '']);
    expect(run.stderr).toMatch(/^saveoops: the log cannot be decompressed\n/);
  });

  test.each([
    ['nothing', '', reportExitCodes.noDeath],
    [
      'a healthy log',
      '[    0.000000] Linux version 6.1.0 (a@b)\n[    1.000000] hello\n',
      reportExitCodes.noDeath,
    ],
    ['prose', 'It was dark.\nThe fan ran.\n', reportExitCodes.notUnderstood],
  ])('%s has its exit code', (_, input, code) => {
    expect(runSaveoops(['report', '-'], folder, Buffer.from(input)).status).toBe(code);
  });
});

test.each([
  [
    'with its last line',
    '[    0.000000] Linux version 6.1.0 (a@b)\n[    1.500000] PCI: the last\n',
    'Linux 6.1.0 hung or was reset 1.500 s after its start.',
    ['  [    1.500000] PCI: the last', 'What it was doing then'],
  ],
  ['before its first line', '', 'Linux 6.1.0 hung or was reset, and has left no log.', []],
])('a capture after a reset is told of as such: %s', (name, log, headline, more) => {
  const capture = join(folder, name, '20261124T180000Z-6.1.0-a1b2c3');
  mkdirSync(capture, { recursive: true });
  const record = {
    ...{ version: 1, kind: 'reset', primary: { release: '6.1.0', banner: null, commandLine: null } },
    reset: {
      ...{ lostKiB: 4096, uptime: null, by: "the chipset's watchdog (TCO)" },
      ...{ image: { checked: 700, lost: 2 }, tables: { checked: 9, lost: 0 } },
    },
  };
  writeFileSync(join(capture, 'capture.json'), JSON.stringify(record));
  writeFileSync(join(capture, 'dmesg.txt'), log);
  const run = runSaveoops(['report', capture]);
  expect([run.status, run.stdout.split('\n')[0]]).toEqual([reportExitCodes.death, headline]);
  for (const words of [
    ...more,
    "it hung, until the chipset's watchdog (TCO) reset the machine.",
    'the first 4096 KiB of its memory',
    '2 of 700 pages of its image that could be checked no longer hold',
    '9 page tables could be checked: all hold.',
  ]) {
    expect(run.stdout).toContain(words);
  }
  const html = join(folder, name, 'report.html');
  expect(runSaveoops(['report', capture, '--html', html]).status).toBe(reportExitCodes.death);
  expect(readFileSync(html, 'utf8')).toContain('2 of 700 pages of its image');
});

describe('--bundle', () => {
  test('shows what it packs; tar reads it, twice the same, for its owner alone', () => {
    const path = file('secret.log', text.replace('Command line: ', 'Command line: password=hunter2 '));
    const archives = ['one', 'two'].map((name) => {
      mkdirSync(join(folder, name));
      const out = join(folder, name, 'bug.tar.gz');
      const run = runSaveoops(['report', path, '--bundle', out, '--redact']);
      expect([run.status, run.stderr]).toEqual([0, '']);
      expect(statSync(out).mode & 0o777).toBe(0o600);
      return { out, shown: run.stdout };
    });
    const [one, two] = archives;
    expect(readFileSync(one?.out ?? '').equals(readFileSync(two?.out ?? ''))).toBe(true);
    const listed = oracle('tar', ['--list', '--file', one?.out ?? ''])
      .trim()
      .split('\n')
      .filter((name) => !name.endsWith('/'));
    expect(listed.sort()).toEqual([
      'bug/dmesg.txt',
      'bug/hardware.txt',
      'bug/report.json',
      'bug/report.txt',
      'bug/versions.json',
    ]);
    for (const name of listed) expect(one?.shown).toContain(`  ${name.slice('bug/'.length)} `);
    expect(one?.shown).toMatch(/^Taken out: 1 secrets of command lines/m);
    expect(oracle('tar', ['--extract', '--to-stdout', '--file', one?.out ?? ''])).not.toContain('hunter2');
  });

  test('that cannot be written: exit code 74, nothing left', () => {
    const run = runSaveoops(['report', log?.path ?? '', '--bundle', join(folder, 'nowhere', 'x.tar')]);
    expect(run.status).toBe(74);
  });
});

describe('captures --news', () => {
  const capture = (days: number): string => {
    const time = new Date(Date.now() - days * 86_400_000).toISOString().replace(/[-:]|\.\d+/g, '');
    const place = mkdtempSync(join(folder, 'news-'));
    const path = join(place, `${time}-6.1.0-56-amd64-0a0b0c`);
    mkdirSync(path);
    writeFileSync(join(path, 'capture.json'), JSON.stringify({ message: 'Fatal \x1b[2J exception' }));
    return place;
  };

  test('tells of a capture of this week', () => {
    expect(runSaveoops(['captures', capture(2), '--news']).stdout).toMatch(
      /^saveoops: Linux 6\.1\.0-56-amd64 died at \S+Z: Fatal \\x1b\[2J exception\. Read: saveoops report 0a0b0c\n$/,
    );
  });

  test.each([
    ['an older one', 8],
    ['none', undefined],
  ])('says nothing of %s', (_, days) => {
    const place = days === undefined ? mkdtempSync(join(folder, 'none-')) : capture(days);
    expect(runSaveoops(['captures', place, '--news']).stdout).toBe('');
  });
});
