import { readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import { ByteWriter } from '../../bytes/byte-writer.js';
import { oracle } from '../../testkit/command-line.js';
import { surviveMutations } from '../../testkit/mutate.js';
import { writePe } from '../../testkit/pe-writer.js';
import { stockKernels } from '../../testkit/stock-kernels.js';
import { isPe, parsePe, peOptional, sectionAt } from './parse-pe.js';

/** `objdump -h`: name, VirtualSize or the file's part of it, address, file offset. */
const sectionRow = /^\s*\d+ (\S+)\s+([0-9a-f]+)\s+([0-9a-f]+)\s+[0-9a-f]+\s+([0-9a-f]+)/gm;

describe('stock kernels', () => {
  test.each(stockKernels().map(({ flavour, vmlinuz }) => [flavour, vmlinuz]))(
    '%s: as objdump reads it',
    (_, vmlinuz) => {
      const image = parsePe(readFileSync(vmlinuz), vmlinuz);
      const said = oracle('objdump', ['-p', '-h', vmlinuz]);
      const field = (name: string): number =>
        parseInt(new RegExp(`^${name}\\s+(\\w+)`, 'm').exec(said)?.[1] ?? '', 16);
      expect({
        entry: image.entry,
        sectionAlignment: image.sectionAlignment,
        fileAlignment: image.fileAlignment,
        sizeOfImage: image.sizeOfImage,
        sizeOfHeaders: image.sizeOfHeaders,
        sizeOfCode: image.sizeOfCode,
        directories: image.directories,
      }).toEqual({
        entry: field('AddressOfEntryPoint'),
        sectionAlignment: field('SectionAlignment'),
        fileAlignment: field('FileAlignment'),
        sizeOfImage: field('SizeOfImage'),
        sizeOfHeaders: field('SizeOfHeaders'),
        sizeOfCode: field('SizeOfCode'),
        directories: field('NumberOfRvaAndSizes'),
      });
      const rows = [...said.matchAll(sectionRow)].map(([, name, size, address, offset]) => [
        name,
        ...[size, address, offset].map((each) => parseInt(each ?? '', 16)),
      ]);
      expect(rows.length).toBeGreaterThan(2);
      expect(
        image.sections.map(({ name, virtualSize, rawSize, virtualAddress, rawOffset }) => [
          name,
          Math.min(virtualSize, rawSize),
          virtualAddress,
          rawOffset,
        ]),
      ).toEqual(rows);
      expect(sectionAt(image, image.entry)?.name).toBe('.text');
    },
  );
});

function thrown(work: () => unknown): unknown {
  try {
    return work();
  } catch (error) {
    return error;
  }
}

describe('what is no PE image, or a damaged one', () => {
  const good = writePe(0x1000, 0x40, ['.more']);
  const damaged = (at: number, value: number): Uint8Array => {
    const bytes = Uint8Array.from(good);
    new ByteWriter(bytes).u32(at, value);
    return bytes;
  };
  const optional = 0x40 + 24;
  const table = optional + 112 + 48;

  test('the good one is read', () => {
    expect(isPe(good)).toBe(true);
    expect(parsePe(good, 'test').sections.map(({ name }) => name)).toEqual(['.text', '.more']);
  });

  test.each<[string, Uint8Array, string]>([
    ['no MZ', damaged(0, 0), 'wrong-file'],
    ['a PE header nowhere', damaged(0x3c, 0xffffff00), 'truncated'],
    ['no PE signature', damaged(0x40, 0), 'wrong-file'],
    ['another machine', damaged(0x44, 0x0002014c), 'wrong-file'],
    ['PE32', damaged(optional, 0x10b), 'wrong-file'],
    ['more directories than room', damaged(optional + 108, 0x10000000), 'format'],
    ['60000 sections', damaged(0x44, 0xea608664), 'format'],
    ['no alignment', damaged(optional + 32, 0), 'format'],
    ['an odd alignment', damaged(optional + 36, 3), 'format'],
    ['an entry behind the image', damaged(optional + peOptional.entry, 0x100000), 'format'],
    ['a table behind the headers', damaged(optional + 60, 0x100), 'format'],
    ['a section behind the image', damaged(table + 8, 0xffffffff), 'format'],
    ['a section behind the file', damaged(table + 16, 0xffffffff), 'truncated'],
    ['sections that overlap', damaged(table + 40 + 12, 0x300), 'format'],
    ['an empty file', new Uint8Array(), 'wrong-file'],
    ['only MZ', Buffer.from('MZ'), 'truncated'],
  ])('%s', (_, bytes, kind) => {
    expect(thrown(() => parsePe(bytes, 'test'))).toMatchObject({ name: 'SaveoopsError', kind });
  });

  test('a thousand damaged copies end in a value or a SaveoopsError', async () => {
    expect(await surviveMutations(good, 1000, (bytes) => parsePe(bytes, 'test'), 0x1c0)).toBeGreaterThan(100);
  });
});
