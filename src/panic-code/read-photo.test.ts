/** Pictures of codes that another encoder has drawn, read by zbarimg. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { deflateSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import encodeQR from 'qr';
import { runReport } from '../commands/report.js';
import { panicDigits } from '../testkit/panic-digits.js';
import { isPicture, readPhoto } from './read-photo.js';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'saveoops-photo-'));
});
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

/** A picture (PGM) of a code with `text`, or of nothing. */
function picture(text: string | undefined): string {
  const code = text === undefined ? [[false]] : encodeQR(text, 'raw', { border: 4 });
  const scale = 4;
  const rows = code.flatMap((row) =>
    Array.from({ length: scale }, () => row.flatMap((dark) => Array<number>(scale).fill(dark ? 0 : 255))),
  );
  const path = join(folder, 'picture.pgm');
  writeFileSync(
    path,
    Buffer.concat([Buffer.from(`P5\n${rows[0]?.length} ${rows.length}\n255\n`), Buffer.from(rows.flat())]),
  );
  return path;
}

const log = '[    5.050578] Kernel panic - not syncing: sysrq triggered crash\n';
const code = `?a=x86_64&v=6.1.0&z=${panicDigits(deflateSync(log))}`;

describe('readPhoto()', () => {
  test('gives the log and the release', async () => {
    expect(await readPhoto(picture(code))).toEqual({ log, release: '6.1.0' });
  });

  test('takes a log that is not packed, as drm_panic has it without an URL', async () => {
    expect((await readPhoto(picture(log))).log.trim()).toBe(log.trim());
  });

  test.each([
    ['no QR code in the picture', undefined],
    ['a QR code that does not tell of a panic', 'https://debian.org/'],
    ["the QR code's log does not unpack", '?a=x86_64&v=6.1.0&z=123'],
  ])('says "%s"', async (message, text) => {
    await expect(readPhoto(picture(text))).rejects.toMatchObject({ kind: 'format', message });
  });

  test('names the package when zbarimg is missing', async () => {
    const { PATH } = process.env;
    process.env['PATH'] = folder;
    try {
      await expect(readPhoto(picture(code))).rejects.toMatchObject({
        kind: 'tool',
        hint: 'apt-get install zbar-tools',
      });
    } finally {
      process.env['PATH'] = PATH;
    }
  });
});

test('saveoops report takes a photograph for a log', async () => {
  let out = '';
  const options = { capture: picture(code), json: false, html: undefined, bundle: undefined, redact: false };
  expect(await runReport(options, { out: (text) => (out += text), progress: () => undefined })).toBe(0);
  expect(out).toContain('Linux 6.1.0 died 5.05');
});

test('a bundle of a photograph has its log and the report', async () => {
  const bundle = join(folder, 'bug.tar.gz');
  const secret = `${log.slice(0, -1)} on host=x password=hunter2\n`;
  const text = `?a=x86_64&v=6.1.0&z=${panicDigits(deflateSync(secret))}`;
  let out = '';
  const options = { capture: picture(text), json: false, html: undefined, bundle, redact: true };
  expect(await runReport(options, { out: (said) => (out += said), progress: () => undefined })).toBe(0);
  const list = execFileSync('tar', ['-tf', bundle], { encoding: 'utf8' }).trim().split('\n').sort();
  expect(list).toEqual(['bug/', 'bug/dmesg.txt', 'bug/report.json', 'bug/report.txt', 'bug/versions.json']);
  const content = (name: string): string =>
    execFileSync('tar', ['-xOf', bundle, `bug/${name}`], { encoding: 'utf8' });
  expect(content('dmesg.txt')).toContain('Kernel panic - not syncing: sysrq triggered crash');
  expect(content('report.txt')).toContain('Linux 6.1.0 died 5.05');
  for (const name of ['dmesg.txt', 'report.txt', 'report.json']) {
    expect(content(name)).not.toContain('hunter2');
    expect(content(name)).not.toContain(folder);
  }
  expect(JSON.parse(content('report.json'))).toMatchObject({ kernel: { release: '6.1.0' } });
  expect(out).toContain('dmesg.txt');
});

test('a log is no picture', async () => {
  const path = join(folder, 'dmesg.txt');
  writeFileSync(path, log);
  expect([await isPicture(path), await isPicture(join(folder, 'missing'))]).toEqual([false, false]);
});
