/**
 * The check between the COM32 module and Syslinux, made by every build: the module may import only what
 * stubs/com32/syslinux-exports.txt lists. Syslinux itself would notice a missing symbol only on the machine.
 */
import { ByteView } from '../bytes/byte-reader.js';
import { ELFCLASS64 } from '../formats/elf/elf-tables.js';
import { parseElf } from '../formats/elf/parse-elf.js';

/** Who exports each listed name. Throws for a line that is not "name exporter". */
export function readExports(text: string): Map<string, 'core' | 'ldlinux.c32'> {
  const exports = new Map<string, 'core' | 'ldlinux.c32'>();
  for (const line of text.split('\n')) {
    if (line === '' || line.startsWith('#')) continue;
    const [name = '', exporter, ...rest] = line.split(' ');
    const known = exporter === 'core' || exporter === 'ldlinux.c32';
    if (!known || rest.length > 0 || exports.has(name)) throw new Error(`syslinux-exports.txt: ${line}`);
    exports.set(name, exporter);
  }
  return exports;
}

/** Names that a module, ELF32 or ELF64, leaves to others to define, sorted. */
export function moduleImports(module: Uint8Array): string[] {
  const elf = parseElf(module, 'module.elf');
  const entries = new ByteView(elf.sectionBytes(elf.requireSection('.dynsym')), 'module.elf: .dynsym');
  const names = new ByteView(elf.sectionBytes(elf.requireSection('.dynstr')), 'module.elf: .dynstr');
  const imports: string[] = [];
  const wide = elf.header.ei_class === ELFCLASS64;
  // Entry 0 is the null symbol (gABI, "Symbol Table").
  for (let at = wide ? 24 : 16; at < entries.length; at += wide ? 24 : 16) {
    if (entries.u16(at + (wide ? 6 : 14), 'st_shndx') !== 0) continue;
    imports.push(names.cString(entries.u32(at, 'st_name'), 'symbol name'));
  }
  return imports.sort();
}

/** Imports of the module that the list does not have. */
export function unexportedImports(module: Uint8Array, exportsText: string): string[] {
  const known = readExports(exportsText);
  return moduleImports(module).filter((name) => !known.has(name));
}
