import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from '@jest/globals';
import { exitCodeOf, renderError, SaveoopsError, type ErrorKind } from './errors.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
const kinds = Object.keys(exitCodeOf) as ErrorKind[];

describe('errors', () => {
  test.each(kinds)('%s: every fact on a line of its own, in one order', (kind) => {
    const error = new SaveoopsError(kind, 'not a bzImage', {
      where: 'vmlinuz, offset 0x202',
      found: 'no "HdrS"',
      wanted: '"HdrS"',
      hint: 'give a kernel',
      cause: new Error('inner'),
    });
    expect(renderError(error)).toBe(
      [
        'saveoops: not a bzImage',
        '  where:  vmlinuz, offset 0x202',
        '  found:  no "HdrS"',
        '  wanted: "HdrS"',
        '  do:     give a kernel',
      ].join('\n'),
    );
    expect(error.kind).toBe(kind);
  });

  test('without a hint there is no last line', () => {
    const error = new SaveoopsError('file', 'cannot use x', { where: 'x', found: 'y', wanted: 'z' });
    expect(renderError(error)).not.toContain('do:');
  });

  test('docs/errors.md lists every kind with its exit code', () => {
    const text = readFileSync(join(root, 'docs/errors.md'), 'utf8');
    const rows = [...text.matchAll(/^\| (\d+) +\| `([a-z-]+)`/gm)].map(([, code, kind]) => [
      kind,
      Number(code),
    ]);
    expect(Object.fromEntries(rows)).toEqual(exitCodeOf);
  });
});

describe('numbered messages', () => {
  test('docs/messages.md has exactly the numbers that the stubs can print', () => {
    const sources = readdirSync(join(root, 'stubs'), { recursive: true, encoding: 'utf8' })
      .filter((name) => /\.[chS]$/.test(name))
      .map((name) => readFileSync(join(root, 'stubs', name), 'utf8'))
      .join('\n');
    const numbers = [
      // com32: fail(20, ...); crash: "saveoops: E30 ..."; hook: "2 the ..."; entry: enum reason, ARMED being no message.
      ...[...sources.matchAll(/\bfail\((\d+),/g)].map(([, number]) => Number(number)),
      ...[...sources.matchAll(/saveoops: E(\d+) /g)].map(([, number]) => Number(number)),
      ...[...sources.matchAll(/\.asciz\t"(\d) /g)].map(([, digit]) => 30 + Number(digit)),
      ...[...(/enum reason \{([^}]*)\}/.exec(sources)?.[1]?.matchAll(/= (\d+),/g) ?? [])].map(([, number]) =>
        Number(number),
      ),
    ].filter((number) => number > 0);
    const text = readFileSync(join(root, 'docs/messages.md'), 'utf8');
    const documented = [...text.matchAll(/^\| E(\d+) /gm)].map(([, number]) => Number(number));
    const ascending = (list: number[]): number[] => [...new Set(list)].sort((a, b) => a - b);
    expect(ascending(numbers).length).toBeGreaterThan(15);
    expect(ascending(documented)).toEqual(ascending(numbers));
    expect(new Set(documented).size).toBe(documented.length);
  });
});
