/**
 * What a kernel module says of itself: the section .modinfo, "KEY=VALUE" strings that each end with a NUL
 * (include/linux/moduleparam.h, scripts/mod/modpost.c).
 */
import { type Elf } from '../elf/parse-elf.js';

export interface ModuleInfo {
  /** The kernel that it was built for: release, then the build options that must agree. */
  readonly vermagic: string;
  /** Names of the modules whose symbols it uses, with '_' throughout. */
  readonly depends: readonly string[];
  /** Patterns of what it is asked for by: hardware ("pci:v..."), file systems ("fs-ext4"), algorithms ("crypto-..."). */
  readonly aliases: readonly string[];
}

/** Throws `missing-fact` for an ELF file without .modinfo, which is no kernel module, `truncated` or `format`. */
export function readModuleInfo(elf: Elf): ModuleInfo {
  const section = elf.sectionBytes(elf.requireSection('.modinfo'));
  const fields = Buffer.from(section).toString('latin1').split('\0');
  const values = (key: string): string[] =>
    fields.filter((field) => field.startsWith(`${key}=`)).map((field) => field.slice(key.length + 1));
  return {
    vermagic: values('vermagic')[0] ?? '',
    depends: (values('depends')[0] ?? '')
      .split(',')
      .filter((name) => name !== '')
      .map((name) => name.replaceAll('-', '_')),
    aliases: values('alias'),
  };
}
