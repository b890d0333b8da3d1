/** Imports inside src/: no circles, and no folder that docs/design.md's list of rooms does not have. */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from '@jest/globals';

const root = fileURLToPath(new URL('../../', import.meta.url));
const sources = join(root, 'src');

/** Each file of src/ that is no test, with the files of src/ that it imports, types included. */
function readImports(): Map<string, string[]> {
  const names = readdirSync(sources, { recursive: true, encoding: 'utf8' }).filter((name) =>
    /(?<!\.test)\.ts$/.test(name),
  );
  return new Map(
    names.map((name) => {
      const text = readFileSync(join(sources, name), 'utf8');
      const found = [...text.matchAll(/^(?:import|export|\}) .*from '(\.[^']*)\.js';$/gm)];
      return [name, found.map(([, path]) => `${join(dirname(name), path ?? '')}.ts`)];
    }),
  );
}

/** A way from a file back to itself; undefined: there is none. */
function findCircle(imports: ReadonlyMap<string, readonly string[]>): string[] | undefined {
  const done = new Set<string>();
  const walk = (name: string, path: readonly string[]): string[] | undefined => {
    if (path.includes(name)) return [...path.slice(path.indexOf(name)), name];
    if (done.has(name)) return undefined;
    for (const next of imports.get(name) ?? []) {
      const circle = walk(next, [...path, name]);
      if (circle !== undefined) return circle;
    }
    done.add(name);
    return undefined;
  };
  for (const name of imports.keys()) {
    const circle = walk(name, []);
    if (circle !== undefined) return circle;
  }
  return undefined;
}

test('findCircle finds one', () => {
  const circle = new Map([
    ['a', ['b']],
    ['b', ['c']],
    ['c', ['b']],
  ]);
  expect(findCircle(circle)).toEqual(['b', 'c', 'b']);
});

test('no file imports itself by way of others', () => {
  const imports = readImports();
  expect(imports.get('compose/compose-files.ts')).toContain('kernel/load-kernel.ts');
  expect(findCircle(imports)).toBeUndefined();
});

test('--version and --help wait for no command: what runs host tools is not among what cli.ts imports', () => {
  const values = /^(?:import (?!type )|export (?!type ).*from |\} ).*'(\.[^']*)\.js';$/gm;
  const reached = new Set(['cli.ts']);
  for (const name of reached) {
    const text = readFileSync(join(sources, name), 'utf8');
    for (const [, path] of text.matchAll(values)) reached.add(`${join(dirname(name), path ?? '')}.ts`);
  }
  expect([...reached]).toEqual(expect.arrayContaining(['commands/options.ts', 'host/files.ts']));
  expect([...reached].filter((name) => name === 'host/run-tool.ts')).toEqual([]);
});

test('every folder of src/ is a room of docs/design.md, and every room a folder', () => {
  const text = readFileSync(join(root, 'docs/design.md'), 'utf8');
  const rooms = [...text.matchAll(/^\| `src\/([\w-]+)`/gm)].map(([, room]) => room);
  const folders = readdirSync(sources, { withFileTypes: true }).flatMap((entry) =>
    entry.isDirectory() ? [entry.name] : [],
  );
  expect([...rooms].sort()).toEqual(folders.sort());
});
