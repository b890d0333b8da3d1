/**
 * Where the hook reads the crash region before it trusts it: 2 MiB of virtual addresses that no kernel uses, 0xffffffffff800000.
 * The hook sets the page-table entry, reads, and empties it again. By the next entry it reads the kernel's top-level table.
 *
 * Source: arch/x86/kernel/head_64.S: level3_kernel_pgt maps kernel text by its entry 510 and level2_fixmap_pgt by the next, so
 * whatever tables the processor uses, the hook runs only where both are mapped. level2_fixmap_pgt ends with four empty entries,
 * "6 MB reserved space + a 2MB hole" (Documentation/arch/x86/x86_64/mm.rst: the last 2 MiB are an unused hole).
 */
import { ByteView } from '../bytes/byte-reader.js';
import { SaveoopsError } from '../errors.js';
import { offsetInImage } from '../kernel/flat-image.js';
import type { KernelFact } from '../kernel/evidence.js';
import type { Kernel } from '../kernel/load-kernel.js';
import { hookWindowPmd } from '../stubs/shared-layout.js';

export const fixmapTable = 'level2_fixmap_pgt';
const kernelTable = 'level3_kernel_pgt';
/** __START_KERNEL_map: the image's tables hold addresses less this. */
const kernelMap = 0xffffffff80000000n;
const addressBits = 0x000ffffffffff000n;
const entries = 512;
const pageSize = 8 * entries;

/**
 * Checks by the image's own bytes that the two tables are what their symbols say and that the entry is free. Gives the fact.
 * Throws `unsupported` when one is not, `missing-fact` when a table has no symbol or lies outside the image.
 */
export function findFixmapWindow({ kallsyms, image }: Kernel): KernelFact {
  const view = new ByteView(image.bytes, image.source);
  const entry = (table: string, index: number): bigint => {
    const offset = offsetInImage(image, kallsyms.requireAddress(table), pageSize, table);
    return view.u64(offset + 8 * index, `${table}[${index}]`);
  };
  const hex = (value: bigint): string => `0x${value.toString(16)}`;
  const check = (what: string, found: bigint, right: boolean, wanted: string): void => {
    if (right) return;
    throw new SaveoopsError(
      'unsupported',
      "the kernel's page tables are not laid out as the hook needs them",
      {
        where: `${image.source}, ${what}`,
        found: hex(found),
        wanted,
        hint: 'the kernel is built in a way this version does not know; boot it unarmed and report the package',
      },
    );
  };
  const table = kallsyms.requireAddress(fixmapTable);
  check(fixmapTable, table, table % BigInt(pageSize) === 0n, 'the address of a page');
  const last = entry(kernelTable, entries - 1);
  const leadsThere = (last & addressBits) === table - kernelMap && (last & 1n) === 1n;
  check(`${kernelTable}[${entries - 1}]`, last, leadsThere, `a present entry for ${fixmapTable}`);
  const fixmap = entry(fixmapTable, hookWindowPmd - 1);
  check(`${fixmapTable}[${hookWindowPmd - 1}]`, fixmap, (fixmap & 1n) === 1n, "the fixmap's last table");
  for (let index = hookWindowPmd; index < entries; index++) {
    const free = entry(fixmapTable, index);
    check(`${fixmapTable}[${index}]`, free, free === 0n, 'an empty entry');
  }
  return {
    name: `${fixmapTable}[${hookWindowPmd}]`,
    value: 'empty',
    source: `image, kallsyms ${fixmapTable} and ${kernelTable}`,
  };
}
