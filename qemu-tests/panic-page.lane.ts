/**
 * dist/page/panic.html in a real browser: `npm run test:page`. What it shows of a code is what `saveoops report` says of a picture of
 * the same code, which zbarimg reads.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { deflateSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import encodeQR from 'qr';
import { runReport } from '../src/commands/report.js';
import { deathLogs } from '../src/testkit/death-logs.js';
import { panicDigits } from '../src/testkit/panic-digits.js';
import { Browser } from './harness/browser.js';
import { repository } from './harness/folders.js';

const minute = 60_000;
const page = pathToFileURL(join(repository, 'dist', 'page', 'panic.html')).href;

let folder: string;
let browser: Browser;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'saveoops-page-'));
  browser = new Browser(join(folder, 'profile'));
}, minute);
afterAll(async () => {
  await browser.close();
  rmSync(folder, { recursive: true, force: true });
}, minute);

/** As many of the log's last lines as one code holds. */
function codeOf(log: string, release: string): { readonly text: string; readonly shown: string } {
  const lines = log.trimEnd().split('\n');
  for (let count = 60; count > 0; count--) {
    const shown = `${lines.slice(-count).join('\n')}\n`;
    const digits = panicDigits(deflateSync(shown, { level: 9 }));
    if (digits.length < 2500) return { text: `?a=x86_64&v=${release}&z=${digits}`, shown };
  }
  throw new Error('one line does not fit');
}

/** A file that browsers open: a BMP with 24 bits a pixel, rows from the bottom up. */
async function picture(text: string): Promise<string> {
  const scale = 4;
  const code = encodeQR(text, 'raw', { ecc: 'low', border: 4 });
  const side = code.length * scale;
  const stride = Math.ceil((side * 3) / 4) * 4;
  const head = Buffer.alloc(54);
  head.write('BM');
  head.writeUInt32LE(head.length + stride * side, 2);
  head.writeUInt32LE(head.length, 10);
  head.writeUInt32LE(40, 14);
  head.writeInt32LE(side, 18);
  head.writeInt32LE(side, 22);
  head.writeUInt16LE(1, 26);
  head.writeUInt16LE(24, 28);
  const pixels = Buffer.alloc(stride * side);
  for (let y = 0; y < side; y++)
    for (let x = 0; x < side; x++) {
      const dark = code[Math.floor((side - 1 - y) / scale)]?.[Math.floor(x / scale)] === true;
      pixels.fill(dark ? 0 : 255, y * stride + 3 * x, y * stride + 3 * x + 3);
    }
  const path = join(folder, 'code.bmp');
  await writeFile(path, Buffer.concat([head, pixels]));
  return path;
}

/** Text of the page's element with this id, once the page has come to an end of its reading. */
async function shownBy(id: string): Promise<unknown> {
  return await browser.value(`new Promise((resolve) => {
    const look = () => {
      const said = document.getElementById('said')?.textContent ?? '';
      const report = document.getElementById('report')?.textContent ?? '';
      if (report !== '' || (said !== '' && said !== 'Reading ...')) resolve(document.getElementById('${id}').textContent);
      else requestAnimationFrame(look);
    };
    look();
  })`);
}

async function reportOf(path: string): Promise<string> {
  let out = '';
  const options = { capture: path, json: false, html: undefined, bundle: undefined, redact: false };
  await runReport(options, { out: (text) => (out += text), progress: () => undefined });
  return out.replaceAll(path, 'PHOTO');
}

const logs = deathLogs().filter(
  ({ release, name }) =>
    release.startsWith('6.1.') && ['sysrq', 'panic', 'null-dereference-tainted'].includes(name),
);

describe('the page', () => {
  test.each(logs.map(({ release, name, text }) => [name, release, text] as const))(
    'says of %s what saveoops report says: by its address, by a text, by a picture',
    async (_, release, log) => {
      const { text, shown } = codeOf(log, release);
      const path = await picture(text);
      const wanted = await reportOf(path);
      expect(wanted).toContain(release);

      await browser.open(`${page}#${text}`);
      expect(await shownBy('report')).toBe(wanted);
      expect(await shownBy('log')).toBe(shown);

      await browser.open(page);
      await browser.value(`{
        const box = document.getElementById('text');
        box.value = ${JSON.stringify(text)};
        box.dispatchEvent(new Event('input'));
      }`);
      expect(await shownBy('report')).toBe(wanted);

      await browser.open(page);
      await browser.choose('#file', path);
      expect(await shownBy('report')).toBe(wanted);
    },
    minute,
  );

  test.each([
    ['#?a=x86_64&v=6.1.0&z=123', 'The digits are damaged, or not all there: the log does not unpack.'],
    ['#hello', 'This does not tell of a panic: a code of one has z= and digits.'],
  ])(
    'says why it can do nothing with %s',
    async (address, words) => {
      await browser.open(`${page}${address}`);
      expect(await shownBy('said')).toBe(words);
      expect(await shownBy('report')).toBe('');
    },
    minute,
  );
});
