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
  const sources = readdirSync(join(root, 'stubs'), { recursive: true, encoding: 'utf8' })
    .filter((name) => /\.[chS]$/.test(name))
    .map((name) => readFileSync(join(root, 'stubs', name), 'utf8'))
    .join('\n');
  /** The enumerator and its number; ARMED is no message. */
  const reasons = new Map(
    [...(/enum reason \{([^}]*)\}/.exec(sources)?.[1] ?? '').matchAll(/([A-Z0-9_]+) = ([1-9]\d*),/g)].map(
      ([, name, number]) => [name, Number(number)],
    ),
  );
  /** What is said, by number: com32: fail(20, "..."); crash, remarks: "saveoops: E30 ..."; hook: "2 the ..."; entry: refuse(NAME, "..."). */
  const said: readonly (readonly [number, string])[] = [
    ...[...sources.matchAll(/\bfail\((\d+), ([^;]*)\);/g)].flatMap(([, number, text = '']) =>
      [...text.matchAll(/"([^"]+)"/g)].map(([, each = '']) => [Number(number), each] as const),
    ),
    ...[...sources.matchAll(/"saveoops: E(\d+) ([^"]*?)(?:\\n)?"/g)].map(
      ([, number, text = '']) => [Number(number), text] as const,
    ),
    ...[...sources.matchAll(/\.asciz\t"(\d) ([^"]*)"/g)].map(
      ([, digit, text = '']) => [30 + Number(digit), text] as const,
    ),
    ...[...sources.matchAll(/\brefuse\(([A-Z0-9_]+), "([^"]*)"\)/g)].map(
      ([, name = '', text = '']) => [reasons.get(name) ?? 0, text] as const,
    ),
  ];
  const numbers = [...new Set([...said.map(([number]) => number), ...reasons.values()])].sort(
    (a, b) => a - b,
  );
  const document = readFileSync(join(root, 'docs/messages.md'), 'utf8');
  const paragraphs = [...document.matchAll(/^### E(\d+)\n([^]*?)(?=^##|$(?![^]))/gm)].map(
    ([, number, text = '']) => ({ number: Number(number), text: text.replace(/\s+/g, ' ') }),
  );

  test('docs/messages.md has a paragraph for exactly the numbers that the stubs can print', () => {
    expect(numbers.length).toBeGreaterThan(15);
    expect(paragraphs.map(({ number }) => number).sort((a, b) => a - b)).toEqual(numbers);
  });

  test.each(said)('E%i: its paragraph has the words "%s"', (number, text) => {
    expect(paragraphs.find((each) => each.number === number)?.text).toContain(text);
  });
});
