/**
 * The reverse of building: a saveoops.c32 becomes the parts that it was made of, with the digests that it holds. What
 * is not changed is not digested again, so damage there stays as visible as it was.
 */
import { ByteView } from '../bytes/byte-reader.js';
import { xxh3 } from '../bytes/digests.js';
import { SaveoopsError } from '../errors.js';
import { parseElf } from '../formats/elf/parse-elf.js';
import {
  chunkDef,
  loadTableDef,
  loadTableMagic,
  offsetOf,
  partDef,
  partNames,
  planDef,
  planMagic,
  sharedVersion,
  structSize,
  type PartName,
} from '../stubs/shared-layout.js';
import { StructureWriter, sumOf } from '../stubs/structure-writer.js';
import type { Assembly } from './assemble-image.js';
import type { Part } from './part.js';
import { moduleOfPayload, readManifest, type Initrd, type ModuleParts } from './com32-file.js';
import { undoHeaderEdits } from './header-editor.js';
import type { Manifest, ManifestRegion } from './manifest.js';

export interface PayloadParts {
  readonly manifest: Manifest;
  readonly module: ModuleParts;
  /** As loaders start it: a bzImage and an EFI application. */
  readonly composed: Uint8Array;
  /** All but the region, which follows from the parts. */
  readonly image: Omit<Assembly, 'region'>;
  /** Those in the payload, in order. */
  readonly initrds: readonly Initrd[];
}

/**
 * @param source names the file, for errors
 * Throws `wrong-file`, `truncated`, `digest` for a damaged head, leading part or manifest, `unsupported` for a payload
 * of another version.
 */
export function takeApart(bytes: Uint8Array, source: string): PayloadParts {
  const manifest = readManifest(bytes, source);
  const elf = parseElf(bytes, source);
  const module = moduleOfPayload(elf, bytes);
  const file = new ByteView(bytes, source);
  const region = (name: string): ManifestRegion & { readonly bytes: Uint8Array } => {
    const found = manifest.regions.find((each) => each.name === name);
    if (found === undefined) throw otherVersion(source, `no region ${name}`, 'the regions that build writes');
    return { ...found, bytes: file.slice(found.offset, found.size, `region ${name}`).bytes };
  };
  const setup = region('setup');
  const original = region('primary');
  const entryStub = region('entry-stub');

  const table = file.slice(module.loadTable, structSize(loadTableDef), 'load table');
  const tableField = (name: string): number => table.u32(offsetOf(loadTableDef, name), name);
  if (tableField('magic') !== loadTableMagic || tableField('version') !== sharedVersion) {
    throw otherVersion(source, `layout 0x${tableField('version').toString(16)}`, layoutName);
  }
  requireSum('XXH32', sumOf(table.bytes, loadTableDef), tableField('xxh32'), `${source}, load table`);
  const chunk = (index: number, field: string): number =>
    table.u32(
      offsetOf(loadTableDef, 'chunk') + index * structSize(chunkDef) + offsetOf(chunkDef, field),
      field,
    );
  const chunkSum = (index: number): bigint =>
    table.u64(
      offsetOf(loadTableDef, 'chunk') + index * structSize(chunkDef) + offsetOf(chunkDef, 'xxh3'),
      'xxh3',
    );
  // What boots untouched gets a new sum: an old one that is wrong must not be hidden by it.
  const leading = file.slice(setup.offset, chunk(0, 'checked_size'), 'leading part');
  requireSum('XXH3', xxh3(leading.bytes), chunkSum(0), `${source}, leading part`);

  const planAt = findPlan(entryStub.bytes, source);
  const plan = new ByteView(entryStub.bytes, source).slice(planAt, structSize(planDef), 'plan');
  const planField = (name: string): number => plan.u32(offsetOf(planDef, name), name);
  const parts = partNames.map((name, index): [PartName, Part, number] => {
    const at = offsetOf(planDef, 'part') + index * structSize(partDef);
    const field = (each: string): number => plan.u32(at + offsetOf(partDef, each), each);
    const content = file.slice(original.offset + field('offset'), field('size'), name).bytes;
    const sha256 = plan.slice(at + offsetOf(partDef, 'sha256'), 32, 'sha256').bytes;
    return [name, { bytes: content, xxh32: field('xxh32'), sha256 }, field('offset')];
  });

  const embedded = manifest.primary.initrdBeside ? [] : manifest.primary.initrdFiles;
  return {
    manifest,
    module,
    composed: file.slice(setup.offset, chunk(0, 'size'), 'composed image').bytes,
    image: {
      setup: undoHeaderEdits(setup.bytes, manifest.edits, source),
      original: { bytes: original.bytes, sha256: original.sha256 },
      initSize: planField('original_init_size'),
      entryStub: entryStub.bytes,
      planAt,
      efiEntries: {
        handover: planField('handover_entry'),
        pe: planField('pe_entry'),
        textEnd: planField('text_end'),
      },
      plan: StructureWriter.of(planDef, plan.bytes),
      parts: Object.fromEntries(parts.map(([name, part]) => [name, part])) as Record<PartName, Part>,
      inside: Object.fromEntries(
        parts.filter(([, , offset]) => offset < original.size).map(([name, , offset]) => [name, offset]),
      ),
      checkedMark: tableField('mark') - setup.size - planField('stub_offset'),
      afterReset: manifest.afterReset,
      bootWatchdog: manifest.bootWatchdog,
    },
    initrds: embedded.map((name, index) => {
      const { bytes: content, sha256 } = region(`initrd-${index}`);
      return { name, bytes: content, sha256, xxh3: chunkSum(index + 1) };
    }),
  };
}

/** Where the plan lies in the entry stub. Its magic number and version stand in the stub's code, too. */
function findPlan(entryStub: Uint8Array, source: string): number {
  const head = Buffer.alloc(8);
  head.writeUInt32LE(planMagic, 0);
  head.writeUInt32LE(sharedVersion, 4);
  const stub = Buffer.from(entryStub.buffer, entryStub.byteOffset, entryStub.length);
  const end = stub.length - structSize(planDef);
  for (let at = stub.indexOf(head); at >= 0 && at <= end; at = stub.indexOf(head, at + 1)) {
    const structure = stub.subarray(at, at + structSize(planDef));
    if (sumOf(structure, planDef) === structure.readUInt32LE(offsetOf(planDef, 'xxh32'))) return at;
  }
  throw otherVersion(source, 'no plan of this layout in the entry stub', layoutName);
}

const layoutName = `layout 0x${sharedVersion.toString(16)}`;

function requireSum<T extends number | bigint>(digest: string, found: T, wanted: T, where: string): void {
  if (found === wanted) return;
  throw new SaveoopsError('digest', 'the payload is damaged', {
    where,
    found: `${digest} 0x${found.toString(16)}`,
    wanted: `${digest} 0x${wanted.toString(16)}`,
    hint: 'build the payload again',
  });
}

function otherVersion(source: string, found: string, wanted: string): SaveoopsError {
  return new SaveoopsError('unsupported', 'the payload is of another version of Saveoops', {
    where: source,
    found,
    wanted,
    hint: 'build the payload again',
  });
}
