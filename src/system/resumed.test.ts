import { readFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { slotsSize } from './resumed.js';

test("the hook's slots are as large as its own header says", () => {
  const header = readFileSync(new URL('../../../stubs/include/hook-slots.h', import.meta.url), 'utf8');
  expect(/^#define SLOTS_SIZE (\d+)$/m.exec(header)?.[1]).toBe(String(slotsSize));
});
