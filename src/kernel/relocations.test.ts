import { describe, expect, test } from '@jest/globals';
import { ByteWriter } from '../bytes/byte-writer.js';
import { oracle } from '../testkit/command-line.js';
import { loadVmlinux, stockKernels } from '../testkit/stock-kernels.js';
import { parseBzImage } from '../formats/bzimage/parse-bzimage.js';
import { decompressPayload } from '../formats/bzimage/payload.js';
import { flattenKernel } from './flat-image.js';
import { parseRelocations } from './relocations.js';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

function trailer(words: readonly number[]): Uint8Array {
  const writer = ByteWriter.ofSize(4 * words.length);
  words.forEach((word, index) => {
    writer.u32(4 * index, word);
  });
  return writer.bytes;
}

describe('parseRelocations', () => {
  test('three lists: 64-bit, inverse 32-bit, 32-bit', () => {
    const { words64, inverse32, words32 } = parseRelocations(trailer([0, 1, 2, 0, 3, 0, 4, 5]), 'test');
    expect([[...words64], [...inverse32], [...words32]]).toEqual([[1, 2], [3], [4, 5]]);
  });

  test('two lists, as since the per-CPU segment went', () => {
    const { words64, inverse32, words32 } = parseRelocations(trailer([0, 1, 2, 0, 4]), 'test');
    expect([[...words64], [...inverse32], [...words32]]).toEqual([[1, 2], [], [4]]);
  });

  test('none in a kernel that cannot move', () => {
    expect(parseRelocations(new Uint8Array(), 'test').words64.length).toBe(0);
  });

  test.each([
    ['one list', trailer([0, 1])],
    ['four lists', trailer([0, 1, 0, 2, 0, 3, 0, 4])],
    ['no leading zero', trailer([7, 0, 1, 0, 2, 0, 3])],
    ['an odd size', trailer([0, 1, 0, 2]).subarray(0, 15)],
  ])('refuses %s', (_, bytes) => {
    expect(() => parseRelocations(bytes, 'test')).toThrow('not understood');
  });
});

describe.each(stockKernels())('$flavour', (kernel) => {
  test('the flat image holds the segments that readelf lists, where it lists them', async () => {
    const elf = await loadVmlinux(kernel);
    const image = flattenKernel(elf);
    const folder = mkdtempSync(join(tmpdir(), 'saveoops-flat-'));
    try {
      const file = join(folder, 'vmlinux');
      const payload = await decompressPayload(parseBzImage(readFileSync(kernel.vmlinuz), 'k').payload, 'k');
      writeFileSync(file, payload);
      const listed = [
        ...oracle('readelf', ['-lW', file]).matchAll(/^ +LOAD +0x(\w+) 0x(\w+) 0x(\w+) 0x(\w+) 0x(\w+) /gm),
      ].map((row) => row.slice(1, 6).map((hex) => parseInt(hex, 16)));
      expect(listed.length).toBeGreaterThanOrEqual(3);
      const start = Math.min(...listed.map(([, , physical]) => physical ?? 0));
      expect(Number(image.physical)).toBe(start);
      let end = 0;
      for (const [offset = 0, , physical = 0, size = 0] of listed) {
        const at = physical - start;
        expect(
          Buffer.compare(image.bytes.subarray(at, at + size), payload.subarray(offset, offset + size)),
        ).toBe(0);
        end = Math.max(end, at + size);
      }
      expect(image.bytes.length).toBe(end);
      const entry = /Entry point address:\s+0x(\w+)/.exec(oracle('readelf', ['-hW', file]))?.[1];
      expect(image.entryOffset).toBe(parseInt(entry ?? '', 16) - start);

      // Behind the file as readelf measures it: the lists, whole, each entry once.
      const header = oracle('readelf', ['-hW', file]);
      const number = (name: string): number => Number(new RegExp(`${name}:\\s+(\\d+)`).exec(header)?.[1]);
      const fileEnd =
        number('Start of section headers') +
        number('Size of section headers') * number('Number of section headers');
      const lists = parseRelocations(payload.subarray(fileEnd), 'k');
      const entries = lists.words64.length + lists.inverse32.length + lists.words32.length;
      expect(payload.length - fileEnd).toBe(4 * (entries + 3));
      expect(lists.words64.length).toBeGreaterThan(30_000);
      // 64-bit words to be moved hold kernel addresses (a few are differences); every place lies in the image.
      const view = new DataView(image.bytes.buffer, image.bytes.byteOffset);
      const low = Number(BigInt.asUintN(32, image.virtual));
      const odd = lists.words64.filter((place) => view.getUint32(place - low + 4, true) !== 0xffffffff);
      expect(odd.length).toBeLessThan(lists.words64.length / 1000);
      for (const list of [lists.inverse32, lists.words32]) {
        expect(list.every((place) => place >= low && place - low + 4 <= end)).toBe(true);
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
  }, 120_000);
});
