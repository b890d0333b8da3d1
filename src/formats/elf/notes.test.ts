import { describe, expect, test } from '@jest/globals';
import { ByteView } from '../../bytes/byte-reader.js';
import { encodeNote, parseNotes } from './notes.js';

const parse = (bytes: Uint8Array): [string, number, number[]][] =>
  parseNotes(new ByteView(bytes, 'notes')).map(({ name, type, desc }) => [name, type, [...desc]]);

describe('ELF notes', () => {
  test('are encoded with sizes, NUL and padding', () => {
    const bytes = encodeNote({ name: 'CORE', type: 1, desc: Uint8Array.of(7, 8, 9) });
    expect(Buffer.from(bytes).toString('hex')).toBe(
      '050000000300000001000000' + '434f524500000000' + '07080900',
    );
  });

  test('are read back, one after another', () => {
    const first = encodeNote({ name: 'VMCOREINFO', type: 0, desc: Buffer.from('OSRELEASE=6.1\n') });
    const second = encodeNote({ name: 'GNU', type: 3, desc: Uint8Array.of(1) });
    expect(parse(Buffer.concat([first, second])).map(([name, type]) => [name, type])).toEqual([
      ['VMCOREINFO', 0],
      ['GNU', 3],
    ]);
  });

  test('end at zero fill', () => {
    const note = encodeNote({ name: 'CORE', type: 1, desc: new Uint8Array(4) });
    expect(parse(Buffer.concat([note, new Uint8Array(2)])).length).toBe(1);
    expect(parse(Buffer.concat([note, new Uint8Array(100)])).length).toBe(1);
  });

  test('may leave out the padding of the last descriptor', () => {
    const note = encodeNote({ name: 'CORE', type: 1, desc: Uint8Array.of(5) });
    expect(parse(note.subarray(0, note.length - 3))).toEqual([['CORE', 1, [5]]]);
  });

  test.each([4, 11, 15, 21])('that are cut off after %i bytes are refused', (length) => {
    const note = encodeNote({ name: 'CORE', type: 1, desc: Uint8Array.of(1, 2, 3, 4) });
    expect(() => parse(note.subarray(0, length))).toThrow('reaches outside');
  });
});
