import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from '@jest/globals';
import { oracle } from './command-line.js';
import { moduleImports, readExports, unexportedImports } from './module-imports.js';

const path = (relative: string): string => fileURLToPath(new URL(`../../../${relative}`, import.meta.url));
const module = path('dist/stubs/module.elf');
const list = readFileSync(path('stubs/com32/syslinux-exports.txt'), 'utf8');
const installed = '/usr/lib/syslinux/modules/bios/ldlinux.c32';

/** Names in the last column of nm. */
function nm(args: readonly string[]): string[] {
  const lines = oracle('nm', args).trimEnd().split('\n');
  return lines.map((line) => line.split(/\s+/).at(-1) ?? '').sort();
}

describe('imports of the COM32 module', () => {
  test('are those that nm shows, and all are in the list', () => {
    const bytes = readFileSync(module);
    expect(moduleImports(bytes)).toEqual(nm(['-D', '--undefined-only', module]));
    expect(unexportedImports(bytes, list)).toEqual([]);
  });

  test('are refused when the list lacks them', () => {
    const shorter = list.replace(/^malloc core\n/m, '');
    expect(unexportedImports(readFileSync(module), shorter)).toEqual(['malloc']);
  });

  test('of ldlinux.c32 are exported by the installed one', () => {
    expect(existsSync(installed)).toBe(true);
    const exported = new Set(nm(['-D', '--defined-only', installed]));
    const wanted = [...readExports(list)].filter(([, from]) => from === 'ldlinux.c32').map(([name]) => name);
    expect(wanted.filter((name) => !exported.has(name))).toEqual([]);
    expect(wanted.length).toBeGreaterThan(4);
  });
});
