/**
 * Links the hook (stubs/hook/hook.S, a relocatable object) to its place in the kernel: PC-relative references only,
 * so hook and kernel move together under KASLR and the hook needs no relocation entry.
 *
 * Source: System V ABI, AMD64 supplement, "Relocation": R_X86_64_PC32 and R_X86_64_PLT32 are S + A - P.
 */
import { ByteView } from '../bytes/byte-reader.js';
import { ByteWriter } from '../bytes/byte-writer.js';
import { SaveoopsError } from '../errors.js';
import { SHT_RELA, SHT_SYMTAB } from '../formats/elf/elf-tables.js';
import { parseElf } from '../formats/elf/parse-elf.js';
import { readSymbols } from '../stubs/stub-objects.js';

const R_X86_64_PC32 = 2;
const R_X86_64_PLT32 = 4;
const relaSize = 24;
const symbolSize = 24;

export interface LinkedHook {
  /** Link-time virtual address of bytes[0]. */
  readonly address: bigint;
  readonly bytes: Uint8Array;
  /** Link-time virtual addresses of the hook's own symbols. */
  readonly symbols: ReadonlyMap<string, bigint>;
}

/** Bytes of .text of the hook object: what the gap must hold. */
export function hookSize(object: Uint8Array): number {
  return parseElf(object, 'hook.o').requireSection('.text').sh_size;
}

/**
 * @param resolve gives the link-time virtual address of a kernel symbol
 * Throws `missing-fact` (unknown symbol) or `invariant` (the object is not what the build makes).
 */
export function linkHook(object: Uint8Array, address: bigint, resolve: (name: string) => bigint): LinkedHook {
  const elf = parseElf(object, 'hook.o');
  const text = elf.requireSection('.text');
  const bytes = Uint8Array.from(elf.sectionBytes(text));
  const symbols = new Map<string, bigint>();
  for (const [name, symbol] of readSymbols(elf)) {
    if (symbol.section === text.index) symbols.set(name, address + symbol.value);
  }
  const writer = new ByteWriter(bytes);
  const names = symbolNames(elf);
  for (const section of elf.sections) {
    if (section.sh_type !== SHT_RELA) continue;
    if (section.sh_info !== text.index) throw broken(`relocations for section ${section.sh_info}`);
    const rela = new ByteView(elf.sectionBytes(section), 'hook.o: relocations');
    for (let at = 0; at < rela.length; at += relaSize) {
      const place = rela.size64(at, 'r_offset');
      const type = rela.u32(at + 8, 'r_info type');
      const name = names[rela.u32(at + 12, 'r_info symbol')] ?? '';
      const addend = BigInt.asIntN(64, rela.u64(at + 16, 'r_addend'));
      if (type !== R_X86_64_PC32 && type !== R_X86_64_PLT32) throw broken(`relocation type ${type}`);
      const target = symbols.get(name) ?? resolve(name);
      const value = target + addend - (address + BigInt(place));
      if (value !== BigInt.asIntN(32, value)) throw broken(`${name} out of reach`);
      writer.u32(place, Number(BigInt.asUintN(32, value)));
    }
  }
  return { address, bytes, symbols };
}

function symbolNames(elf: ReturnType<typeof parseElf>): string[] {
  const table = elf.sections.find((section) => section.sh_type === SHT_SYMTAB);
  const strings = table === undefined ? undefined : elf.sections[table.sh_link];
  if (table === undefined || strings === undefined) throw broken('no symbol table');
  const entries = new ByteView(elf.sectionBytes(table), 'hook.o: symbols');
  const text = new ByteView(elf.sectionBytes(strings), 'hook.o: symbol names');
  const names: string[] = [];
  for (let at = 0; at < entries.length; at += symbolSize) {
    names.push(text.cString(entries.u32(at, 'st_name'), 'symbol name'));
  }
  return names;
}

function broken(found: string): SaveoopsError {
  return new SaveoopsError('invariant', 'the hook object is not as built', {
    where: 'dist/stubs/hook.o',
    found,
    wanted: 'PC-relative relocations of .text only',
    hint: 'rebuild the stubs: npm run build',
  });
}
