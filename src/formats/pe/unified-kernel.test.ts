import { describe, expect, test } from '@jest/globals';
import { parsePe } from './parse-pe.js';
import { osReleaseValue, unifiedSections } from './unified-kernel.js';
import { writePe } from '../../testkit/pe-writer.js';

describe('sections of a unified kernel image', () => {
  const sectionsOf = (...names: readonly string[]): readonly string[] => [
    ...unifiedSections(parsePe(writePe(0x1000, 0x40, names), 'image')).keys(),
  ];

  test('by name, with what the file holds of them', () => {
    const image = parsePe(writePe(0x1000, 0x40, ['.linux']), 'image');
    expect(unifiedSections(image)).toEqual(
      new Map([
        ['.text', { offset: 0x200, size: 0xe00 }],
        ['.linux', { offset: 0x200, size: 0 }],
      ]),
    );
  });

  test('those of the first profile alone', () => {
    expect(sectionsOf('.cmdline', '.profile', '.pcrsig', '.profile', '.ucode')).toEqual([
      '.text',
      '.cmdline',
      '.profile',
      '.pcrsig',
    ]);
  });
});

test('values of os-release, with and without quotes', () => {
  const text = `NAME="Debian GNU/Linux"\nVERSION='13 (trixie)'\nVERSION_ID="13" \nID=debian\nIMAGE_ID=\n`;
  expect(
    ['NAME', 'VERSION', 'VERSION_ID', 'ID', 'IMAGE_ID', 'BUILD_ID'].map((name) => osReleaseValue(text, name)),
  ).toEqual(['Debian GNU/Linux', '13 (trixie)', '13', 'debian', undefined, undefined]);
});
