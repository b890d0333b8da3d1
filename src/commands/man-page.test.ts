import { describe, expect, test } from '@jest/globals';
import { runSaveoops } from '../testkit/command-line.js';
import { renderPages } from './man-page.js';
import { configKeys } from './options.js';

const pages = renderPages({ version: '1.2.3', date: '2026-11-24' });
/** The text that a reader sees, as far as the escapes of these pages go. */
const read = (name: string): string =>
  (pages.find((page) => page.name === name)?.text ?? '')
    .replace(/\\f[BIR]/g, '')
    .replace(/\\&/g, '')
    .replace(/\\-/g, '-');
const section = (page: string, title: string): string =>
  page.split(/^\.SH /m).find((part) => part.startsWith(`${title}\n`)) ?? '';

describe('pages of the commands', () => {
  // --help is what yargs makes of the table by itself.
  const commands = [...runSaveoops(['--help']).stdout.matchAll(/^ {2}saveoops (\w+)/gm)].map(
    ([, name]) => name ?? '',
  );

  test('there is one for every command that --help shows, and saveoops(8) names it', () => {
    expect(commands.length).toBeGreaterThan(5);
    expect(commands.filter((name) => read(`saveoops-${name}`) === '')).toEqual([]);
    const overview = section(read('saveoops'), 'COMMANDS');
    expect(commands.filter((name) => !overview.includes(`saveoops-${name}(8)`))).toEqual([]);
  });

  test('each has every option that its command shows', () => {
    for (const name of commands) {
      const options = [...runSaveoops([name, '--help']).stdout.matchAll(/^ +(--[a-z-]+)/gm)]
        .map(([, option]) => option ?? '')
        .filter((option) => !['--help', '--version'].includes(option));
      const text = section(read(`saveoops-${name}`), 'OPTIONS');
      const missing = options.filter(
        (option) => !new RegExp(`(^|\\s)${option}(\\s|,|\\.|$)`, 'm').test(text),
      );
      expect([name, missing]).toEqual([name, []]);
    }
  }, 120_000);
});

test('saveoops.yaml(5) has every key', () => {
  const keys = section(read('saveoops.yaml'), 'KEYS').split('\n');
  expect(Object.keys(configKeys).filter((key) => !keys.includes(key))).toEqual([]);
});

test('mandb takes name and description from each page', () => {
  for (const { name, text } of pages) {
    const [, line = ''] = text.split('.SH NAME\n');
    expect(line.split('\n')[0]).toMatch(new RegExp(`^${name.replace(/-/g, '\\\\-')} \\\\- \\S`));
  }
});

test.each(pages)('$name: no text is taken for a macro or an escape', ({ text }) => {
  const macros = /^\.(TH|SH|TP|PP|br|nf|fi)( |$)/;
  expect(text.split('\n').filter((line) => /^[.']/.test(line) && !macros.test(line))).toEqual([]);
  expect(text.replace(/\\(-|&|e|f[BIR])/g, '')).not.toContain('\\');
});
