/**
 * The list by which the COM32 module of one payload knows the crash regions of the others on an installed system
 * (docs/protocol.md, "After a reset"): without it a reset of one kernel of a menu is not captured when another one boots next.
 */
import { ByteView } from '../bytes/byte-reader.js';
import {
  keptListDef,
  keptListMagic,
  keptPartDef,
  keptRegionDef,
  loadTableDef,
  maxKeptRegions,
  offsetOf,
  sharedVersion,
  structSize,
} from '../stubs/shared-layout.js';
import { StructureWriter, sumOf } from '../stubs/structure-writer.js';
import type { KeptRegion } from './kept-parts.js';

/** As the load table and the list hold it. */
export function keptRegionBytes({ resetEntry, regionSize, parts }: KeptRegion): Uint8Array {
  const region = new StructureWriter(keptRegionDef);
  region.set('reset_entry', resetEntry);
  region.set('region_size', regionSize);
  parts.forEach(({ place, size, sha256 }, index) => {
    const part = new StructureWriter(keptPartDef);
    part.set('place', place);
    part.set('size', size);
    part.put('sha256', sha256);
    region.put('kept', part.bytes, index);
  });
  return region.bytes;
}

/**
 * What a payload's load table says of its crash region; undefined: it has no --after-reset, or is of a version whose regions are not
 * understood by this one.
 */
export function keptRegionOf(loadTable: Uint8Array): Uint8Array | undefined {
  const view = new ByteView(loadTable, 'load table');
  const field = (name: string): number => view.u32(offsetOf(loadTableDef, name), name);
  if (field('version') !== sharedVersion || field('xxh32') !== sumOf(loadTable, loadTableDef))
    return undefined;
  const own = view.slice(offsetOf(loadTableDef, 'own'), structSize(keptRegionDef), 'own');
  return own.u32(offsetOf(keptRegionDef, 'reset_entry'), 'reset_entry') === 0 ? undefined : own.bytes;
}

/** The file. @param regions as keptRegionOf() gives them: the first of them, as many as it holds */
export function keptList(regions: readonly Uint8Array[]): Uint8Array {
  const list = new StructureWriter(keptListDef);
  const held = regions.slice(0, maxKeptRegions);
  list.set('magic', keptListMagic);
  list.set('version', sharedVersion);
  list.set('count', held.length);
  held.forEach((region, index) => {
    list.put('region', region, index);
  });
  return list.seal();
}
