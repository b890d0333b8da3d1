/**
 * The bare-metal objects that `npm run build` made and the package ships: read once, with their symbols, so that
 * the payload is patched by symbol name and never by an offset agreed on elsewhere.
 */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ByteView } from '../bytes/byte-reader.js';
import { SaveoopsError } from '../errors.js';
import { ELFCLASS64, PT_LOAD, SHF_ALLOC, SHT_NOBITS, SHT_SYMTAB } from '../formats/elf/elf-tables.js';
import { parseElf, type Elf } from '../formats/elf/parse-elf.js';
import { readInput } from '../host/files.js';
import { offsetOf, planDef, sharedVersion } from './shared-layout.js';

export interface StubSymbol {
  /** st_value: an address in a linked stub, an offset in a relocatable object. */
  readonly value: bigint;
  readonly size: number;
  /** st_shndx */
  readonly section: number;
}

/** A stub as one flat run of bytes that starts at its link address 0. */
export interface FlatStub {
  readonly bytes: Uint8Array;
  readonly symbols: ReadonlyMap<string, StubSymbol>;
}

export interface StubObjects {
  readonly entry: FlatStub;
  readonly crash: FlatStub;
  /** Relocatable ELF64: see src/arm/link-hook.ts. */
  readonly hook: Uint8Array;
  /** ELF32 COM32 module without payload. */
  readonly module: Uint8Array;
  /** The same for UEFI: ELF64. */
  readonly efiModule: Uint8Array;
}

const folder = join(fileURLToPath(import.meta.url), '../../../stubs');

/** Throws `file` when the package was not built. */
export async function loadStubObjects(): Promise<StubObjects> {
  const read = (name: string): Promise<Uint8Array> =>
    readInput(join(folder, name), 'a built stub: run `npm run build` in a checkout');
  const [entry, crash, hook, module, efiModule] = await Promise.all(
    ['entry.elf', 'crash.elf', 'hook.o', 'module.elf', 'module64.elf'].map(read),
  );
  if (!entry || !crash || !hook || !module || !efiModule) throw new RangeError('unreachable: all were read');
  const objects = {
    entry: flattenStub(entry, 'entry.elf'),
    crash: flattenStub(crash, 'crash.elf'),
    hook,
    module,
    efiModule,
  };
  checkLayout(objects.entry);
  return objects;
}

/** Stubs built from another layout would misread the plan at boot. Throws `invariant`. */
function checkLayout(entry: FlatStub): void {
  const plan = Number(requireSymbol(entry.symbols, 'plan', 'entry.elf').value);
  const built = new ByteView(entry.bytes, 'entry.elf').u32(
    plan + offsetOf(planDef, 'version'),
    'plan.version',
  );
  if (built === sharedVersion) return;
  throw new SaveoopsError('invariant', 'the stubs were built from another layout than this code', {
    where: folder,
    found: `layout 0x${built.toString(16)}`,
    wanted: `layout 0x${sharedVersion.toString(16)}`,
    hint: 'build both: npm run build',
  });
}

function flattenStub(bytes: Uint8Array, name: string): FlatStub {
  const elf = parseElf(bytes, name);
  const symbols = readSymbols(elf);
  const end = requireSymbol(symbols, 'stub_end', name);
  const flat = new Uint8Array(Number(end.value));
  for (const section of elf.sections) {
    const inside = section.sh_addr + BigInt(section.sh_size) <= end.value;
    const stored = (section.sh_flags & BigInt(SHF_ALLOC)) !== 0n && section.sh_type !== SHT_NOBITS;
    if (stored && inside) flat.set(elf.sectionBytes(section), Number(section.sh_addr));
  }
  return { bytes: flat, symbols };
}

/** Named symbols of an ELF64 file's SHT_SYMTAB. */
export function readSymbols(elf: Elf): Map<string, StubSymbol> {
  const symbols = new Map<string, StubSymbol>();
  const table = elf.sections.find((section) => section.sh_type === SHT_SYMTAB);
  const strings = table === undefined ? undefined : elf.sections[table.sh_link];
  if (table === undefined || strings === undefined) return symbols;
  const entries = new ByteView(elf.sectionBytes(table), `${elf.source}: symbols`);
  const names = new ByteView(elf.sectionBytes(strings), `${elf.source}: symbol names`);
  for (let at = 0; at < entries.length; at += 24) {
    const name = names.cString(entries.u32(at, 'st_name'), 'symbol name');
    if (name === '') continue;
    symbols.set(name, {
      section: entries.u16(at + 6, 'st_shndx'),
      value: entries.u64(at + 8, 'st_value'),
      size: entries.size64(at + 16, 'st_size'),
    });
  }
  return symbols;
}

export function requireSymbol(
  symbols: ReadonlyMap<string, StubSymbol>,
  name: string,
  where: string,
): StubSymbol {
  const symbol = symbols.get(name);
  if (symbol !== undefined) return symbol;
  throw new SaveoopsError('invariant', `a stub lacks the symbol ${name}`, {
    where,
    found: `${symbols.size} symbols`,
    wanted: name,
    hint: 'rebuild the stubs: npm run build',
  });
}

/**
 * File offset of a dynamic symbol of a COM32 module, ELF32 or ELF64: where its initialised data lies; undefined for a file
 * that has none. Throws `truncated`.
 */
export function findModuleSymbol(elf: Elf, name: string): number | undefined {
  const table = elf.findSection('.dynsym');
  const strings = elf.findSection('.dynstr');
  if (table === undefined || strings === undefined) return undefined;
  const entries = new ByteView(elf.sectionBytes(table), 'module: .dynsym');
  const names = new ByteView(elf.sectionBytes(strings), 'module: .dynstr');
  const wide = elf.header.ei_class === ELFCLASS64;
  for (let at = 0; at < entries.length; at += wide ? 24 : 16) {
    if (names.cString(entries.u32(at, 'st_name'), 'symbol name') !== name) continue;
    const address = wide ? entries.u64(at + 8, 'st_value') : BigInt(entries.u32(at + 4, 'st_value'));
    const segment = elf.segments.find(
      (each) =>
        each.p_type === PT_LOAD && address >= each.p_vaddr && address < each.p_vaddr + BigInt(each.p_filesz),
    );
    if (segment !== undefined) return segment.p_offset + Number(address - segment.p_vaddr);
  }
  return undefined;
}

/** The same of a module that must have it. Throws `invariant`. */
export function moduleSymbolOffset(elf: Elf, name: string): number {
  const offset = findModuleSymbol(elf, name);
  if (offset !== undefined) return offset;
  throw new SaveoopsError('invariant', `the COM32 module has no initialised ${name}`, {
    where: elf.source,
    found: 'no such dynamic symbol in a PT_LOAD segment',
    wanted: name,
    hint: 'rebuild the stubs: npm run build',
  });
}
