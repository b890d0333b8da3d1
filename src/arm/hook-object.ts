/**
 * The hook as it was assembled: stubs/hook/hook.S, a relocatable ELF object.
 *
 * Source: System V ABI, AMD64 supplement, "Relocation": R_X86_64_PC32 and R_X86_64_PLT32 are S + A - P.
 */
import { ByteView } from '../bytes/byte-reader.js';
import { SaveoopsError } from '../errors.js';
import { SHT_RELA, SHT_SYMTAB } from '../formats/elf/elf-tables.js';
import { parseElf, type Elf } from '../formats/elf/parse-elf.js';
import { readSymbols } from '../stubs/stub-objects.js';

const R_X86_64_PC32 = 2;
const R_X86_64_PLT32 = 4;
const relaSize = 24;
const symbolSize = 24;

/** A signed 32-bit distance that linking fills in: target + addend - place. */
export interface HookReference {
  /** Offset in text, bytes. */
  readonly place: number;
  /** Symbol of the hook or of the kernel. */
  readonly name: string;
  readonly addend: bigint;
}

export interface HookObject {
  readonly text: Uint8Array;
  /** The hook's own symbols: offsets in text. */
  readonly symbols: ReadonlyMap<string, bigint>;
  readonly references: readonly HookReference[];
}

/** Throws `invariant`: the object is not what the build makes. */
export function readHookObject(object: Uint8Array): HookObject {
  const elf = parseElf(object, 'hook.o');
  const section = elf.requireSection('.text');
  const symbols = new Map<string, bigint>();
  for (const [name, symbol] of readSymbols(elf)) {
    if (symbol.section === section.index) symbols.set(name, symbol.value);
  }
  const names = symbolNames(elf);
  const references: HookReference[] = [];
  for (const list of elf.sections) {
    if (list.sh_type !== SHT_RELA) continue;
    if (list.sh_info !== section.index) throw brokenHook(`relocations for section ${list.sh_info}`);
    const rela = new ByteView(elf.sectionBytes(list), 'hook.o: relocations');
    for (let at = 0; at < rela.length; at += relaSize) {
      const type = rela.u32(at + 8, 'r_info type');
      if (type !== R_X86_64_PC32 && type !== R_X86_64_PLT32) throw brokenHook(`relocation type ${type}`);
      references.push({
        place: rela.size64(at, 'r_offset'),
        name: names[rela.u32(at + 12, 'r_info symbol')] ?? '',
        addend: BigInt.asIntN(64, rela.u64(at + 16, 'r_addend')),
      });
    }
  }
  return { text: elf.sectionBytes(section), symbols, references };
}

function symbolNames(elf: Elf): string[] {
  const table = elf.sections.find((section) => section.sh_type === SHT_SYMTAB);
  const strings = table === undefined ? undefined : elf.sections[table.sh_link];
  if (table === undefined || strings === undefined) throw brokenHook('no symbol table');
  const entries = new ByteView(elf.sectionBytes(table), 'hook.o: symbols');
  const text = new ByteView(elf.sectionBytes(strings), 'hook.o: symbol names');
  const names: string[] = [];
  for (let at = 0; at < entries.length; at += symbolSize) {
    names.push(text.cString(entries.u32(at, 'st_name'), 'symbol name'));
  }
  return names;
}

/** An `invariant` error about the object itself. */
export function brokenHook(found: string): SaveoopsError {
  return new SaveoopsError('invariant', 'the hook object is not as built', {
    where: 'dist/stubs/hook.o',
    found,
    wanted: 'PC-relative relocations of .text only',
    hint: 'rebuild the stubs: npm run build',
  });
}
