import { test } from '@jest/globals';

/** `npm run test:all`: every case, where `npm test` takes some of them for the sake of its time. */
export const everyLane = process.env['SAVEOOPS_LANES'] === 'all';

/** The first of the cases, as many as `count`, or all: those that stand for the others come first. */
export function few<const T>(count: number, cases: readonly T[]): readonly T[] {
  return everyLane ? cases : cases.slice(0, count);
}

/** A test that `npm test` leaves out. */
export const thorough: typeof test.skip = everyLane ? test : test.skip;

/** As many cases as `count`, evenly from the whole list, or all. */
export function spread<const T>(count: number, cases: readonly T[]): readonly T[] {
  if (everyLane) return cases;
  return cases.filter(
    (_, index) =>
      Math.floor((index * count) / cases.length) !== Math.floor(((index - 1) * count) / cases.length),
  );
}
