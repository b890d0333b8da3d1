/**
 * saveoops.c32: the COM32 module as an ELF file, its load table filled in, with a section header for every part of
 * the payload behind it (so that readelf shows them), then the chunks and the manifest.
 *
 *   head       module ELF, section names, section headers; padded to 4 KiB. Syslinux loads only this: the section
 *              header table lies before the payload, else Syslinux would read the whole file first.
 *   chunks     composed image, then each embedded initrd on a 4 KiB boundary: what the module reads, in order
 *   manifest   JSON
 *   digest     SHA-256 of the manifest, 32 bytes: the file's last
 *
 * Source: gABI chapter 4; com32/lib/sys/module in Syslinux for what its loader requires.
 */
import { alignUp } from '../bytes/align.js';
import { ByteWriter } from '../bytes/byte-writer.js';
import { ByteView } from '../bytes/byte-reader.js';
import { SaveoopsError } from '../errors.js';
import {
  ELF32_SHDR_SIZE,
  ELFCLASS64,
  SHT_NOTE,
  SHT_PROGBITS,
  SHT_STRTAB,
} from '../formats/elf/elf-tables.js';
import { parseElf, type Elf } from '../formats/elf/parse-elf.js';
import { sha256, sha256Hex, xxh3, xxh32 } from '../bytes/digests.js';
import type { Manifest, ManifestRegion } from './manifest.js';
import { parseManifest } from './parse-manifest.js';
import {
  chunkDef,
  chunkKinds,
  loadTableDef,
  loadTableMagic,
  maxChunks,
  offsetOf,
  sharedVersion,
  structSize,
} from '../stubs/shared-layout.js';
import { findModuleSymbol, moduleSymbolOffset } from '../stubs/stub-objects.js';
import { StructureWriter, sumOf } from '../stubs/structure-writer.js';
import type { ComposedImage } from './assemble-image.js';
import { keptRegionBytes } from './kept-list.js';

const page = 4096;
const sectionPrefix = '.saveoops.';
const noteSection = '.note.saveoops';
const digestSize = 32;

/** An initrd of the primary kernel, with its digests: they take long for large files, so the caller plans when. */
export interface Initrd {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly sha256: string;
  /** Of the bytes and the zeroes up to the page's end, all of which the module checks: XXH3 of little has other ways, which it does not know. */
  readonly xxh3: bigint;
}

export function digestInitrd(name: string, bytes: Uint8Array): Initrd {
  return { name, bytes, sha256: sha256Hex(bytes), xxh3: xxh3(bytes, padding(bytes.length)) };
}

function padding(size: number): Uint8Array {
  return new Uint8Array(alignUp(size, page) - size);
}

export interface Com32File {
  /** The whole file, in order. */
  readonly chunks: readonly Uint8Array[];
  readonly size: number;
  readonly manifest: Manifest;
  /** saveoops-efi.c32: the module for UEFI, which reads all but itself from the saveoops.c32 beside it. */
  readonly efiModule: Uint8Array;
}

interface Extent {
  readonly name: string;
  readonly offset: number;
  readonly size: number;
}

/** The COM32 module as it was linked: what the payload's section headers are added to. */
export interface ModuleParts {
  /** The file up to where section names are added. */
  readonly bytes: Uint8Array;
  /** Its own sections but for their names, as parsed from `elf`. */
  readonly sections: readonly { readonly name: string; readonly header: Uint8Array }[];
  /** File offset of the load table. */
  readonly loadTable: number;
}

/** @param file the linked module. Throws `invariant` when it has no load table. */
export function moduleParts(file: Uint8Array): ModuleParts {
  return partsOf(parseElf(file, 'module.elf'), file, file.length);
}

/** The same of a payload. Throws `wrong-file` for what is none. */
export function moduleOfPayload(elf: Elf, file: Uint8Array): ModuleParts {
  return partsOf(elf, file, elf.requireSection('.shstrtab').sh_offset);
}

function partsOf(elf: Elf, file: Uint8Array, size: number): ModuleParts {
  const view = new ByteView(file, elf.source);
  const sections = elf.sections
    .filter(({ name }) => name !== '.shstrtab' && name !== noteSection && !name.startsWith(sectionPrefix))
    .map(({ name, index }) => {
      const at = elf.header.e_shoff + index * ELF32_SHDR_SIZE;
      return { name, header: view.slice(at, ELF32_SHDR_SIZE, 'section header').bytes };
    });
  return {
    bytes: view.slice(0, size, 'COM32 module').bytes,
    sections,
    loadTable: moduleSymbolOffset(elf, 'load_table'),
  };
}

/** What the manifest says of the two files of Syslinux' modules. */
export type FileDigests = Pick<Manifest, 'regions' | 'efiModule'>;

/**
 * @param linked the module for UEFI as it was linked
 * @param describe makes the manifest from the finished digests
 * Throws `usage` for too many initrds, `no-space` for a file that Syslinux cannot read (4 GiB).
 */
export function writeCom32(
  module: ModuleParts,
  linked: Uint8Array,
  image: ComposedImage,
  initrds: readonly Initrd[],
  describe: (digests: FileDigests) => Manifest,
): Com32File {
  if (initrds.length > maxChunks - 2) throw tooMany(initrds.length);
  const parts = [
    ...image.regions.map((region) => ({ ...region, bytes: image.bytes })),
    ...initrds.map((initrd, index) => ({
      name: `initrd-${index}`,
      purpose: `initramfs of the primary kernel: ${initrd.name}`,
    })),
  ];
  const headSize = headSizeFor(
    module,
    parts.map((part) => part.name),
  );
  let at = headSize + image.bytes.length;
  const initrdExtents = initrds.map((initrd, index) => {
    const offset = alignUp(at, page);
    at = offset + initrd.bytes.length;
    return { name: `initrd-${index}`, offset, size: initrd.bytes.length };
  });
  const manifestAt = alignUp(at, page);

  const regions: ManifestRegion[] = [
    ...image.regions.map((region) => ({
      ...region,
      offset: headSize + region.offset,
    })),
    ...initrds.map((initrd, index) => ({
      name: `initrd-${index}`,
      offset: initrdExtents[index]?.offset ?? 0,
      size: initrd.bytes.length,
      purpose: `initramfs of the primary kernel: ${initrd.name}`,
      sha256: initrd.sha256,
    })),
  ];
  const headRegion = (digest: string): ManifestRegion => ({
    name: 'module',
    offset: 0,
    size: headSize,
    purpose: 'COM32 module with its load table and section headers',
    sha256: digest,
  });
  const describeWith = (headDigest: string, efiDigest: string): Manifest =>
    describe({ regions: [headRegion(headDigest), ...regions], efiModule: { sha256: efiDigest } });
  // The head holds the manifest's size and the manifest the head's digest: a digest has one length, so two rounds do.
  const none = '0'.repeat(64);
  const draft = encodeManifest(describeWith(none, none));
  const head = writeHead(module, headSize, image, initrds, [
    ...regions,
    { name: 'manifest', offset: manifestAt, size: draft.length },
    { name: 'digest', offset: manifestAt + draft.length, size: digestSize },
  ]);
  const efiModule = fillEfiModule(linked, loadTableIn(head, module.loadTable));
  const manifest = describeWith(sha256Hex(head), sha256Hex(efiModule));
  const text = encodeManifest(manifest);
  if (text.length !== draft.length) throw new RangeError('the manifest changed its size between two rounds');

  const chunks: Uint8Array[] = [head, image.bytes];
  let end = headSize + image.bytes.length;
  const padTo = (offset: number): void => {
    if (offset > end) chunks.push(new Uint8Array(offset - end));
    end = offset;
  };
  initrds.forEach((initrd, index) => {
    padTo(initrdExtents[index]?.offset ?? end);
    chunks.push(initrd.bytes);
    end += initrd.bytes.length;
  });
  padTo(manifestAt);
  chunks.push(text, sha256(text));
  const size = end + text.length + digestSize;
  if (size >= 2 ** 32) throw tooLarge(size);
  return { chunks, size, manifest, efiModule };
}

function loadTableIn(file: Uint8Array, offset: number): Uint8Array {
  return new ByteView(file, 'COM32 module').slice(offset, structSize(loadTableDef), 'load table').bytes;
}

/** Throws `invariant` when the module has no load table. */
function fillEfiModule(linked: Uint8Array, loadTable: Uint8Array): Uint8Array {
  const bytes = Uint8Array.from(linked);
  bytes.set(loadTable, moduleSymbolOffset(parseElf(linked, 'module64.elf'), 'load_table'));
  return bytes;
}

/** The load table of a module for UEFI; undefined for any other file. Throws `truncated`, `format`. */
export function efiLoadTable(bytes: Uint8Array, source: string): Uint8Array | undefined {
  const elf = parseElf(bytes, source);
  if (elf.header.ei_class !== ELFCLASS64) return undefined;
  const offset = findModuleSymbol(elf, 'load_table');
  return offset === undefined ? undefined : loadTableIn(bytes, offset);
}

/** Whether it is as a build has written it, whatever file it is for. */
export function isSealed(loadTable: Uint8Array): boolean {
  const stored = new ByteView(loadTable, 'load table').u32(offsetOf(loadTableDef, 'xxh32'), 'xxh32');
  return sumOf(loadTable, loadTableDef) === stored;
}

/** The load table of a saveoops.c32. Throws `wrong-file`, `truncated`, `format`, `invariant`. */
export function payloadLoadTable(bytes: Uint8Array, source: string): Uint8Array {
  return loadTableIn(bytes, moduleSymbolOffset(parseElf(bytes, source), 'load_table'));
}

/** Canonical JSON: the same build gives the same bytes. */
export function encodeManifest(manifest: Manifest): Uint8Array {
  return Buffer.from(`${JSON.stringify(manifest, null, 1)}\n`);
}

function sectionName(name: string): string {
  return name === 'notes' ? noteSection : sectionPrefix + name;
}

function headSizeFor(module: ModuleParts, names: readonly string[]): number {
  const own = module.sections.map((section) => section.name);
  const all = [...own, '.shstrtab', ...names.map(sectionName)];
  const strings = all.reduce((sum, name) => sum + name.length + 1, 64);
  return alignUp(module.bytes.length + strings + (all.length + 2) * ELF32_SHDR_SIZE + 16, page);
}

function writeHead(
  module: ModuleParts,
  headSize: number,
  image: ComposedImage,
  initrds: readonly Initrd[],
  extents: readonly Extent[],
): Uint8Array {
  const writer = ByteWriter.ofSize(headSize);
  writer.put(0, module.bytes);
  writer.put(module.loadTable, new Uint8Array(structSize(loadTableDef)));

  const kept = module.sections;
  const added = extents.map((extent) => ({ ...extent, name: sectionName(extent.name) }));
  const names = [...kept.map((section) => section.name), ...added.map((extent) => extent.name), '.shstrtab'];
  const strings = Buffer.from(`\0${names.join('\0')}\0`, 'latin1');
  const nameOffset = (index: number): number =>
    1 + names.slice(0, index).reduce((sum, name) => sum + name.length + 1, 0);
  const stringsAt = module.bytes.length;
  writer.put(stringsAt, strings);
  const table = alignUp(stringsAt + strings.length, 4);
  kept.forEach((section, index) => {
    writer.put(table + index * ELF32_SHDR_SIZE, section.header);
    writer.u32(table + index * ELF32_SHDR_SIZE, index === 0 ? 0 : nameOffset(index));
  });
  const header = (index: number, type: number, offset: number, size: number): void => {
    const at = table + index * ELF32_SHDR_SIZE;
    writer.u32(at, nameOffset(index));
    writer.u32(at + 4, type); // sh_type; sh_flags and sh_addr stay 0: not loaded
    writer.u32(at + 16, offset);
    writer.u32(at + 20, size);
    writer.u32(at + 32, type === SHT_NOTE ? 4 : 1); // sh_addralign
  };
  added.forEach((extent, index) => {
    const type = extent.name === noteSection ? SHT_NOTE : SHT_PROGBITS;
    header(kept.length + index, type, extent.offset, extent.size);
  });
  header(names.length - 1, SHT_STRTAB, stringsAt, strings.length);
  writer.u32(0x20, table); // e_shoff
  writer.u16(0x30, names.length); // e_shnum
  writer.u16(0x32, names.length - 1); // e_shstrndx
  writer.put(module.loadTable, loadTable(writer.bytes, module.loadTable, image, initrds));
  return writer.bytes;
}

/** @param head the file before the first chunk, zero where the table goes: `offset` */
function loadTable(
  head: Uint8Array,
  offset: number,
  image: ComposedImage,
  initrds: readonly Initrd[],
): Uint8Array {
  const table = new StructureWriter(loadTableDef);
  table.set('magic', loadTableMagic);
  table.set('version', sharedVersion);
  table.set('head_size', head.length);
  table.set('head_xxh32', xxh32(head));
  table.set('offset', offset);
  table.set('mark', image.checkedMark);
  const chunks = [
    {
      kind: chunkKinds.IMAGE,
      bytes: image.bytes,
      checked: image.leadingSize,
      sum: xxh3(image.bytes.subarray(0, image.leadingSize)),
    },
    ...initrds.map(({ bytes, xxh3: sum }) => ({
      kind: chunkKinds.INITRD,
      bytes,
      checked: alignUp(bytes.length, page),
      sum,
    })),
  ];
  let at = head.length;
  chunks.forEach(({ kind, bytes, checked, sum }, index) => {
    const chunk = new StructureWriter(chunkDef);
    const end = alignUp(at + bytes.length, page);
    chunk.set('kind', kind);
    chunk.set('size', bytes.length);
    chunk.set('stored_size', end - at);
    chunk.set('checked_size', checked);
    chunk.put('xxh3', littleEndian(sum));
    table.put('chunk', chunk.bytes, index);
    at = end;
  });
  if (image.kept !== undefined) table.put('own', keptRegionBytes(image.kept));
  return table.seal();
}

function littleEndian(value: bigint): Uint8Array {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(value);
  return bytes;
}

/** What `inspect` finds in a file. Throws `wrong-file`, `digest` for a manifest whose own digest is wrong, `format`. */
export function readManifest(bytes: Uint8Array, source: string): Manifest {
  return parseManifest(Buffer.from(manifestBytes(bytes, source)).toString(), source);
}

/** The bytes of saveoops.json, from the payload. Throws `wrong-file` or `digest`. */
export function manifestBytes(bytes: Uint8Array, source: string): Uint8Array {
  const elf = parseElf(bytes, source);
  const section = elf.findSection(`${sectionPrefix}manifest`);
  const digest = elf.findSection(`${sectionPrefix}digest`);
  if (section === undefined || digest === undefined) {
    throw new SaveoopsError('wrong-file', `${source} is not a Saveoops payload`, {
      where: `${source}, section headers`,
      found: elf.sections.map((each) => each.name).join(' ') || 'no sections',
      wanted: `${sectionPrefix}manifest`,
      hint: 'give the saveoops.c32 that `saveoops build` wrote',
    });
  }
  const text = elf.sectionBytes(section);
  const stored = new ByteView(elf.sectionBytes(digest), source).slice(0, digestSize, 'manifest digest');
  if (Buffer.compare(sha256(text), stored.bytes) !== 0) {
    throw new SaveoopsError('digest', 'the manifest of the payload is damaged', {
      where: `${source}, section ${section.name}`,
      found: sha256Hex(text),
      wanted: Buffer.from(stored.bytes).toString('hex'),
      hint: 'build the payload again',
    });
  }
  return text;
}

function tooMany(count: number): SaveoopsError {
  return new SaveoopsError('usage', 'too many initrds', {
    where: '--initrd',
    found: `${count} files`,
    wanted: `at most ${maxChunks - 2}`,
    hint: 'concatenate some of them: the kernel reads initramfs archives one after the other',
  });
}

function tooLarge(size: number): SaveoopsError {
  return new SaveoopsError('no-space', 'the payload is too large for Syslinux', {
    where: 'saveoops.c32',
    found: `${size} bytes`,
    wanted: 'less than 4 GiB',
    hint: 'leave large initrds beside the payload: --initrd-beside',
  });
}
