/** What was to be filled in later must not ship, and what texts for people name must be there. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from '@jest/globals';

const root = fileURLToPath(new URL('../../', import.meta.url));
const folders = ['docs', 'src', 'stubs', 'syslinux-config'];
const texts = /\.(md|ts|c|h|S|lds|sh|in|template|json|yaml|service)$/;
/** Tests speak of placeholders; logs of dead kernels may hold anything. */
const apart = /\.test\.ts$|\/(fixtures|golden|findings)\//;
/** Their placeholders are what the program fills in. */
const templates = /\.(in|template)$/;
const unfilled = /@[A-Z][A-Z_]*@/;
const marks = /\b(TODO|FIXME|XXX+|TBD)\b/;

test('no placeholder is left in what ships, and none in the docs', () => {
  const top = readdirSync(root).filter((name) => name.endsWith('.md') || name === 'saveoops.schema.json');
  const inside = folders.flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' }).map((name) => join(folder, name)),
  );
  const names = [...top, ...inside].filter((name) => texts.test(name) && !apart.test(name));
  expect(names.length).toBeGreaterThan(200);
  const found = names.flatMap((name) =>
    readFileSync(join(root, name), 'utf8')
      .split('\n')
      .flatMap((line, index) =>
        marks.test(line) || (unfilled.test(line) && !templates.test(name))
          ? [`${name}:${index + 1}: ${line}`]
          : [],
      ),
  );
  expect(found).toEqual([]);
});

/** Paths from the top level, in code marks or not; "*" is any name. */
const paths = /(?<![\w./-])(?:src|stubs|qemu-tests|scripts|docs|syslinux-config)\/[\w./*-]*/g;
/** Of the kernel's source tree. */
const foreign = new Set(['scripts/kallsyms.c']);

test('every path that the docs name is there', () => {
  const docs = readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`);
  const names = ['CONTRIBUTING.md', 'README.md', 'stubs/README.md', ...docs];
  const named = names.flatMap((name) =>
    (readFileSync(join(root, name), 'utf8').match(paths) ?? [])
      .map((path) => path.replace(/\.$/, ''))
      .map((path) => ({ name, path })),
  );
  expect(named.length).toBeGreaterThan(150);
  const missing = named.filter(
    ({ path }) => !foreign.has(path) && !path.includes('*') && !existsSync(join(root, path)),
  );
  expect(missing).toEqual([]);
});

test('CONTRIBUTING.md has an answer for each thing that is added, in a file or folder that is there', () => {
  const text = readFileSync(join(root, 'CONTRIBUTING.md'), 'utf8');
  const rows = [...text.matchAll(/^\| an? ([^|]*) \| (.*) \|$/gm)];
  expect(rows).toHaveLength(11);
  for (const [, what = '', where = ''] of rows) {
    const [, ...beside] = where.split('`');
    const marked = beside.filter((_, index) => index % 2 === 0);
    const [first = ''] = marked;
    expect([what, existsSync(join(root, first))]).toEqual([what, true]);
    // A bare name is of a file in the folder named first.
    const bare = marked.filter((path) => !path.includes('/'));
    expect([what, bare.filter((path) => !existsSync(join(root, first, path)))]).toEqual([what, []]);
  }
});
