import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from '@jest/globals';
import { oracle } from '../testkit/command-line.js';
import {
  chunkDef,
  keptListDef,
  layoutOf,
  loadTableDef,
  partDef,
  planDef,
  regionPlaces,
  renderHeader,
  structSize,
} from './shared-layout.js';

const root = fileURLToPath(new URL('../../../', import.meta.url));

describe('structures shared with the stubs', () => {
  test('stubs/include/plan.h is what the definitions render', () => {
    // Else: npm run build, and commit the header.
    expect(readFileSync(`${root}stubs/include/plan.h`, 'utf8')).toBe(renderHeader());
  });

  test.each([['-m64'], ['-m32']])('gcc %s gives every field the same place', (width) => {
    const asserts = [partDef, planDef, chunkDef, loadTableDef, keptListDef].flatMap((def) => [
      `_Static_assert(sizeof(struct ${def.name}) == ${structSize(def)}, "size of ${def.name}");`,
      ...layoutOf(def).map(
        ({ name, offset }) =>
          `_Static_assert(__builtin_offsetof(struct ${def.name}, ${name}) == ${offset}, "${def.name}.${name}");`,
      ),
    ]);
    const source = Buffer.from(`#include "plan.h"\n${asserts.join('\n')}\n`);
    const args = ['-x', 'c', '-fsyntax-only', width, '-ffreestanding', `-I${root}stubs/include`, '-'];
    expect(() => oracle('gcc', args, source)).not.toThrow();
    const wrong = Buffer.from('#include "plan.h"\n_Static_assert(sizeof(struct plan) == 1, "wrong");\n');
    expect(() => oracle('gcc', args, wrong)).toThrow('wrong');
  });

  test('places in the crash region do not overlap', () => {
    const ends = [
      ['CRASH_STUB', 'CRASH_TABLE'],
      ['CRASH_TABLE', 'PAGE_TABLES'],
      ['PAGE_TABLES', 'PAGE_TABLES_END'],
      ['PAGE_TABLES_END', 'STATE'],
      ['STATE', 'WINDOW_TABLE'],
      ['WINDOW_TABLE', 'SCRATCH_TABLES'],
      ['SCRATCH_TABLES', 'IDT'],
      ['IDT', 'STACK_TOP'],
      ['STACK_TOP', 'BOOT_PARAMS'],
      ['BOOT_PARAMS', 'CMDLINE'],
      ['CMDLINE', 'FONT'],
      ['FONT_END', 'ELFCOREHDR'],
      ['ELFCOREHDR', 'NOTES'],
      ['NOTES_END', 'BACKUP'],
      ['BACKUP_END', 'CRASH_KERNEL'],
    ] as const;
    for (const [before, after] of ends) {
      expect([before, regionPlaces[before] <= regionPlaces[after]]).toEqual([before, true]);
    }
    expect(regionPlaces.BACKUP_END - regionPlaces.BACKUP).toBe(640 * 1024);
    // Bit 12 of CR3 is the kernel's own, with page-table isolation; the region begins at a multiple of 2 MiB.
    expect(regionPlaces.SCRATCH_TABLES % 0x2000).toBe(0);
  });
});
