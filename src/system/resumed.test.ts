import { readFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { sumOffset } from './resumed.js';

test("the hook's sum lies where the hook's own header says", () => {
  const header = readFileSync(new URL('../../../stubs/include/hook-slots.h', import.meta.url), 'utf8');
  expect(/^#define SLOT_SUM (\d+)$/m.exec(header)?.[1]).toBe(String(sumOffset));
});
