/** A manifest is taken only whole, and never where it would lead out of its folder or into another line. */
import { describe, expect, test } from '@jest/globals';
import { SaveoopsError } from '../errors.js';
import { sampleManifest } from '../testkit/sample-manifest.js';
import { parseManifest } from './parse-manifest.js';

function refusal(json: string): string {
  try {
    parseManifest(json, 'saveoops.json');
  } catch (error) {
    if (error instanceof SaveoopsError && error.kind === 'format') return error.found;
    throw error;
  }
  return 'taken';
}

/** Every path to a value, lists by their first member: primary.initrdFiles.0 */
function paths(value: unknown, above: readonly string[] = []): string[][] {
  if (typeof value !== 'object' || value === null) return [[...above]];
  return [
    ...(above.length > 0 ? [[...above]] : []),
    ...Object.entries(value).flatMap(([key, inner]) => paths(inner, [...above, key])),
  ];
}

/** The sample with another value, or without one. */
function changed(path: readonly string[], value: unknown): string {
  const copy = structuredClone(sampleManifest) as unknown as Record<string, unknown>;
  const parent = path.slice(0, -1).reduce((at, key) => at[key] as Record<string, unknown>, copy);
  parent[path.at(-1) ?? ''] = value;
  return JSON.stringify(copy);
}

test('the sample is taken as it is', () => {
  expect(parseManifest(JSON.stringify(sampleManifest), 'x')).toEqual(sampleManifest);
});

describe('every value', () => {
  test.each(paths(sampleManifest).map((path) => ({ name: path.join('.'), path })))(
    '$name',
    ({ name, path }) => {
      // A list may be shorter.
      if (!/\d$/.test(name)) expect(refusal(changed(path, undefined))).toMatch(/ is missing$/);
      for (const other of [[{}], { a: 1 }, 1.5, -1]) {
        expect([other, refusal(changed(path, other))]).not.toEqual([other, 'taken']);
      }
    },
  );
});

test.each([
  ['primary.kernelFile', '../../etc/passwd'],
  ['primary.kernelFile', '..'],
  ['primary.kernelFile', '/vmlinuz'],
  ['primary.kernelFile', 'vmlinuz\nLABEL x'],
  ['primary.initrdFiles.0', '../../root/.ssh/authorized_keys'],
  ['primary.initrdFiles.0', 'a b'],
  ['crash.kernelFile', ''],
  ['primary.release', '../../x'],
  ['primary.release', '..'],
  ['primary.release', '6.1\n'],
  ['primary.append', 'ro\nCOM32 evil.c32'],
  ['primary.plainAppend', 'ro\x1b[2J'],
  ['crash.append', 'quiet\r saveoops.hold=60'],
  ['crash.ownAppend', 'elsewhere'],
  ['primary.sha256', 'g'.repeat(64)],
])('%s: %j is refused', (path, value) => {
  expect(refusal(changed(path.split('.'), value))).toContain(path.replace(/\.0$/, '[0]').split('.').at(-1));
});

test.each(['', '{', 'null', '[]', '1', '"x"', '{"format":1}'])('%j is refused', (json) => {
  expect(refusal(json)).not.toBe('taken');
});
