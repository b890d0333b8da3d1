/** What was to be filled in later must not ship: texts for people and sources alike. */
import { readdirSync, readFileSync } from 'node:fs';
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
