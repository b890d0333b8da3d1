import { expect, test } from '@jest/globals';
import { timeAxis } from './time-axis.js';

const day = 86_400;
/** A line each tenth of a second for three seconds, then one three days later. */
const boot = Array.from({ length: 31 }, (_, index) => index / 10);
const times = [...boot, 3 * day];

test('a silence of days is cut, and the boot before it stays visible', () => {
  const axis = timeAxis(times);
  expect(axis.gaps).toEqual([{ from: 3, to: 3 * day }]);
  expect(axis.position(0)).toBe(0);
  expect(axis.position(3)).toBeGreaterThan(0.5);
  expect(axis.position(3 * day)).toBe(1);
});

test('time goes from left to right, and back from a place to its time', () => {
  const axis = timeAxis([...times].reverse());
  const places = times.map(axis.position);
  expect(places).toEqual([...places].sort((a, b) => a - b));
  for (const time of times) expect(axis.timeAt(axis.position(time))).toBeCloseTo(time, 3);
});

test.each([[[]], [[7]], [[7, 7]]])('%j has no length', (few: number[]) => {
  const axis = timeAxis(few);
  expect([axis.position(7), axis.timeAt(1), axis.gaps]).toEqual([0, few[0] ?? 0, []]);
});
