import { describe, expect, test } from '@jest/globals';
import { renderError, SaveoopsError } from '../errors.js';
import { parseCrashSize, parseMachineMemory } from './parse-size.js';

describe('a size', () => {
  test.each([
    ['160M', 160 << 20],
    ['160m', 160 << 20],
    ['1G', 1 << 30],
    ['98304K', 96 << 20],
    ['167772160', 160 << 20],
    [' 160M ', 160 << 20],
  ])('--crash-size %p: %d bytes', (text, bytes) => {
    expect(parseCrashSize(text)).toBe(bytes);
  });

  test.each([
    ['1536M', 1536],
    ['1536', 1536],
    ['2G', 2048],
    ['1048576K', 1024],
  ])('--memory %p: %d MiB', (text, mebibytes) => {
    expect(parseMachineMemory(text)).toBe(mebibytes);
  });

  test.each([
    [parseCrashSize, '--crash-size', ['', 'big', '12Q', '-1M', '0', '4G', '1.5G', '1 G', '1e3']],
    [parseMachineMemory, '--memory', ['', 'much', '127M', '2048G', '1', '-1', '0x400', 'NaN']],
  ])('%p: what is none is named as it was typed', (parse, option, texts) => {
    for (const text of texts) {
      let thrown: unknown;
      try {
        parse(text);
      } catch (error) {
        thrown = error;
      }
      expect(thrown).toBeInstanceOf(SaveoopsError);
      expect(renderError(thrown as SaveoopsError)).toContain(
        `where:  ${option}\n  found:  ${JSON.stringify(text)}\n`,
      );
    }
  });
});
