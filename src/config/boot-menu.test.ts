import { describe, expect, test } from '@jest/globals';
import { SaveoopsError } from '../errors.js';
import { parseBootConfig } from '../image/boot-config.js';
import { renderBootMenu, withInclude, withoutInclude, type MenuKernel } from './boot-menu.js';

const newer: MenuKernel = {
  version: '6.12.1-amd64',
  kernelFile: '../vmlinuz-6.12.1-amd64',
  initrdFile: '../initrd.img-6.12.1-amd64',
  append: 'root=/dev/sda1 ro',
  armedAppend: 'root=/dev/sda1 ro oops=panic',
  afterReset: false,
  armed: '../saveoops/6.12.1-amd64/saveoops.c32',
  previous: '../saveoops/6.12.1-amd64.old/saveoops.c32',
};
const older: MenuKernel = {
  ...newer,
  version: '6.1.0-9-amd64',
  kernelFile: '../vmlinuz-6.1.0-9-amd64',
  initrdFile: undefined,
  armed: '../saveoops/6.1.0-9-amd64/saveoops.c32',
  previous: undefined,
};

const labels = (kernels: readonly MenuKernel[]): readonly string[] =>
  parseBootConfig(renderBootMenu(kernels)).entries.map(({ label }) => label);
const defaultOf = (kernels: readonly MenuKernel[]): string | undefined =>
  parseBootConfig(renderBootMenu(kernels)).defaultLabel;

describe('the menu', () => {
  test('has armed, plain and previous entries, newest kernel first, and the labels that the loader knows', () => {
    expect(labels([newer, older])).toEqual([
      'saveoops-6.12.1-amd64',
      'saveoops-plain-6.12.1-amd64',
      'saveoops-old-6.12.1-amd64',
      'saveoops-6.1.0-9-amd64',
      'saveoops-plain-6.1.0-9-amd64',
      'saveoops-test',
      'saveoops-fallback',
      'saveoops-plain',
    ]);
  });

  test('where a reset is captured, has an entry to see it: the shell comes before words that init would get', () => {
    const { entries } = parseBootConfig(
      renderBootMenu([{ ...newer, armedAppend: 'root=/dev/sda1 ro splash', afterReset: true }]),
    );
    const entry = entries.find(({ label }) => label === 'saveoops-test-reset');
    expect(entry).toMatchObject({ kind: 'COM32', file: newer.armed });
    expect(entry?.append).toMatch(/^saveoops\.test=reset rdinit=\/bin\/sh -c "[^"]+" .* ro splash$/);
    expect(entry?.append).not.toContain('root=');
  });

  test('entries boot what they say', () => {
    const { entries } = parseBootConfig(renderBootMenu([newer, older]));
    expect(entries.slice(0, 3)).toEqual([
      {
        label: 'saveoops-6.12.1-amd64',
        kind: 'COM32',
        file: newer.armed,
        append: newer.armedAppend,
        initrds: [],
      },
      {
        label: 'saveoops-plain-6.12.1-amd64',
        kind: 'LINUX',
        file: newer.kernelFile,
        append: newer.append,
        initrds: [newer.initrdFile],
      },
      {
        label: 'saveoops-old-6.12.1-amd64',
        kind: 'COM32',
        file: newer.previous,
        append: newer.armedAppend,
        initrds: [],
      },
    ]);
    expect(entries.at(-1)).toMatchObject({ label: 'saveoops-plain', file: newer.kernelFile });
  });

  test('the fallback is the kernel before the newest, plain; with one kernel that one', () => {
    const fallback = (kernels: readonly MenuKernel[]): unknown =>
      parseBootConfig(renderBootMenu(kernels)).entries.find(({ label }) => label === 'saveoops-fallback');
    expect(fallback([newer, older])).toMatchObject({ kind: 'LINUX', file: older.kernelFile });
    expect(fallback([newer])).toMatchObject({ kind: 'LINUX', file: newer.kernelFile });
  });

  test('the default is the newest kernel: armed, and plain without a payload that fits', () => {
    expect(defaultOf([newer, older])).toBe('saveoops-6.12.1-amd64');
    expect(defaultOf([{ ...newer, armed: undefined }, older])).toBe('saveoops-plain-6.12.1-amd64');
  });

  test('without kernels it names nothing', () => {
    expect(parseBootConfig(renderBootMenu([]))).toEqual({ entries: [], defaultLabel: undefined, files: [] });
  });

  test("an empty command line takes none from the user's file", () => {
    expect(renderBootMenu([{ ...newer, append: '' }])).toContain('\tAPPEND -\n');
  });

  test('a command line with a line break is refused', () => {
    expect(() => renderBootMenu([{ ...newer, append: 'ro\nLABEL x' }])).toThrow(SaveoopsError);
  });
});

describe("the user's configuration", () => {
  const file = '../saveoops/syslinux-saveoops.cfg';
  const own = [
    '',
    'DEFAULT linux\nLABEL linux\n\tLINUX ../vmlinuz\n',
    'UI menu.c32\r\nDEFAULT linux\r\nLABEL linux\r\n  LINUX /vmlinuz',
    '# \xe4 in some 8-bit encoding\n\n\nLABEL a\n\n',
  ];

  test.each(own)('%j keeps every byte, and gets the line once', (text) => {
    const once = withInclude(text, file, 'x');
    expect(once.startsWith(text)).toBe(true);
    expect(once.slice(text.length).trim()).toBe(`INCLUDE ${file}`);
    expect(withInclude(once, file, 'x')).toBe(once);
    expect(withoutInclude(once, file).trimEnd()).toBe(text.trimEnd());
  });

  test('a line that the user has moved stays there', () => {
    const text = `include   ${file}\nLABEL linux\n`;
    expect(withInclude(text, file, 'x')).toBe(text);
    expect(withoutInclude(text, file)).toBe('LABEL linux\n');
  });

  test('other INCLUDE lines stay', () => {
    const text = `INCLUDE other.cfg\nINCLUDE ${file}.old\n`;
    expect(withoutInclude(withInclude(text, file, 'x'), file)).toBe(text);
  });

  test('a menu started by DEFAULT is refused: it would not come up any more', () => {
    expect(() => withInclude('DEFAULT vesamenu.c32\nLABEL a\n', file, 'x')).toThrow(SaveoopsError);
    expect(() => withInclude('DEFAULT a\nUI vesamenu.c32\n', file, 'x')).not.toThrow();
  });
});
