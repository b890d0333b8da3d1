import { describe, expect, test } from '@jest/globals';
import { runSaveoops } from '../testkit/command-line.js';
import { renderCommandPage, renderConfigPage } from './man-page.js';
import { configKeys } from './options.js';

const info = { version: '1.2.3', date: '2026-11-24' };
/** The text that a reader sees, as far as the escapes of these pages go. */
const read = (page: string): string =>
  page
    .replace(/\\f[BIR]/g, '')
    .replace(/\\&/g, '')
    .replace(/\\-/g, '-');
const section = (page: string, title: string): string =>
  page.split(/^\.SH /m).find((part) => part.startsWith(`${title}\n`)) ?? '';

describe('saveoops(8)', () => {
  const page = read(renderCommandPage(info));
  // --help is what yargs makes of the table by itself.
  const commands = [...runSaveoops(['--help']).stdout.matchAll(/^ {2}saveoops (\w+)/gm)].map(
    ([, name]) => name ?? '',
  );

  test('has every command that --help shows', () => {
    expect(commands.length).toBeGreaterThan(5);
    expect(commands.filter((name) => section(page, `SAVEOOPS ${name.toUpperCase()}`) === '')).toEqual([]);
  });

  test('has every option that each command shows', () => {
    for (const name of commands) {
      const options = [...runSaveoops([name, '--help']).stdout.matchAll(/^ +(--[a-z-]+)/gm)]
        .map(([, option]) => option ?? '')
        .filter((option) => !['--help', '--version'].includes(option));
      const text = section(page, `SAVEOOPS ${name.toUpperCase()}`);
      const missing = options.filter(
        (option) => !new RegExp(`(^|\\s)${option}(\\s|,|\\.|$)`, 'm').test(text),
      );
      expect([name, missing]).toEqual([name, []]);
    }
  }, 60_000);
});

test('saveoops.yaml(5) has every key', () => {
  const keys = section(read(renderConfigPage(info)), 'KEYS').split('\n');
  expect(Object.keys(configKeys).filter((key) => !keys.includes(key))).toEqual([]);
});

test.each([renderCommandPage(info), renderConfigPage(info)])(
  'no text is taken for a macro or an escape',
  (page) => {
    const macros = /^\.(TH|SH|TP|PP|br|nf|fi)( |$)/;
    expect(page.split('\n').filter((line) => /^[.']/.test(line) && !macros.test(line))).toEqual([]);
    expect(page.replace(/\\(-|&|e|f[BIR])/g, '')).not.toContain('\\');
  },
);
