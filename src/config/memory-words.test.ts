import { describe, expect, test } from '@jest/globals';
import { unarmingMemoryWord } from './memory-words.js';

describe('words that leave a kernel unarmed', () => {
  test.each([
    'memmap=exactmap',
    'memmap=1M$0x10000000,exactmap',
    '"memmap=exactmap"',
    'memmap="exactmap"',
    'memmap=1G%1M-2+1',
    'memmap=1G%1M-2',
    'memmap=1G%0x100000',
  ])('%s', (word) => {
    expect(unarmingMemoryWord(`quiet ${word} ro`)).toBe(word);
  });

  test.each([
    'memmap=1M$0x1fc00000',
    'memmap=512M',
    'mem=512M',
    'memmap=1M@2G',
    'memmap=1G%1M-1+2',
    'exactmap',
  ])('but not %s', (word) => {
    expect(unarmingMemoryWord(`quiet ${word} ro`)).toBeUndefined();
  });
});
