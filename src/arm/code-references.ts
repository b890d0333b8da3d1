/**
 * Who speaks of a piece of the kernel's .text: the second look at the gap that the hook goes into.
 *
 * find-gap.ts takes a run of int3 bytes for padding. Were it more than that, something would lead there: a branch, a
 * pointer, or one of the tables by which the kernel patches its own code at boot. All of them are read here.
 *
 * Sources, arch/x86: include/asm/alternative.h (.altinstructions, .smp_locks), include/asm/extable.h (__ex_table),
 * include/asm/jump_label.h (__jump_table), kernel/vmlinux.lds.S (.retpoline_sites, .return_sites, .call_sites, .cfi_sites,
 * .ibt_endbr_seal); include/linux/static_call_types.h (.static_call_sites); include/asm/bug.h (__bug_table). Their entries name
 * code by a signed 32-bit distance from the entry's own field. ORC tables are left out: they speak of every byte.
 *
 * A word that looks like a distance and is none can make a gap seem referenced: then the next one is taken, and a
 * kernel without another is refused. It cannot make a referenced gap seem free.
 */
import { SHF_ALLOC, SHF_EXECINSTR } from '../formats/elf/elf-tables.js';
import type { Kernel } from '../kernel/load-kernel.js';

/** Tables with a section of their own, and at which offsets a distance may stand: multiples of this. */
const tableSections: Readonly<Record<string, number>> = {
  '.altinstructions': 1, // packed: entries of 12 to 14 bytes
  '.smp_locks': 4,
  '.retpoline_sites': 4,
  '.return_sites': 4,
  '.call_sites': 4,
  '.cfi_sites': 4,
  '.ibt_endbr_seal': 4,
  __kcfi_traps: 4,
  __ex_table: 4,
  __bug_table: 4,
  '.pci_fixup': 4,
};

/** Tables that the linker puts into .data or .rodata, by the symbols around them. */
const tableSymbols: readonly (readonly [string, string])[] = [
  ['__start_static_call_sites', '__stop_static_call_sites'],
  ['__start___jump_table', '__stop___jump_table'],
  ['__start_static_call_tramp_key', '__stop_static_call_tramp_key'],
];

/** A stretch of the file with the link-time virtual address of its first byte. */
interface Stretch {
  readonly name: string;
  readonly address: bigint;
  readonly bytes: Uint8Array;
}

/**
 * The first reference into [address, address + size) that is found, as words for a message; undefined: there is none.
 * Throws `truncated` when a section reaches outside the file.
 * @param address link-time virtual address
 * @param size bytes
 */
export function findReference(kernel: Kernel, address: bigint, size: number): string | undefined {
  const target = { start: address, size };
  return (
    relocationOf(kernel, target) ??
    pointerTo(kernel, target) ??
    tableEntryOf(kernel, target) ??
    branchTo(kernel, target)
  );
}

interface Target {
  readonly start: bigint;
  readonly size: number;
}

/** A place inside that KASLR would change, or an address that it changes and that lies inside. */
function relocationOf({ relocations, image }: Kernel, { start, size }: Target): string | undefined {
  const first = Number(BigInt.asUintN(32, start));
  const base = Number(BigInt.asUintN(32, image.virtual));
  const words = littleEndian(image.bytes);
  const { words64, words32, inverse32 } = relocations;
  for (const [list, width] of [
    [words64, 8],
    [words32, 4],
    [inverse32, 4],
  ] as const) {
    for (const place of list) {
      const inside = place > first - width && place < first + size;
      const at = place - base;
      const value = at >= 0 && at + 4 <= words.byteLength ? words.getUint32(at, true) : 0;
      const leads = list !== inverse32 && value >= first && value < first + size;
      if (inside || leads) return `a relocation at 0x${place.toString(16)}`;
    }
  }
  return undefined;
}

/** An address of 64 bits, aligned, in any data: function pointers, lists of ftrace. */
function pointerTo(kernel: Kernel, target: Target): string | undefined {
  for (const { name, address, bytes } of sections(kernel, 'data')) {
    const words = littleEndian(bytes);
    const high = Number(target.start >> 32n);
    const low = Number(BigInt.asUintN(32, target.start));
    const skew = Number(BigInt.asUintN(3, -address));
    for (let at = skew; at + 8 <= bytes.length; at += 8) {
      const distance = words.getUint32(at, true) - low;
      if (distance >= 0 && distance < target.size && words.getUint32(at + 4, true) === high) {
        return `a pointer in ${name} at 0x${(address + BigInt(at)).toString(16)}`;
      }
    }
  }
  return undefined;
}

function tableEntryOf(kernel: Kernel, target: Target): string | undefined {
  for (const section of kernel.elf.sections) {
    const step = tableSections[section.name];
    if (step === undefined) continue;
    const stretch = { name: section.name, address: section.sh_addr, bytes: kernel.elf.sectionBytes(section) };
    const found = distanceInto(stretch, target, step);
    if (found !== undefined) return found;
  }
  for (const [from, to] of tableSymbols) {
    const start = kernel.kallsyms.address(from);
    const end = kernel.kallsyms.address(to);
    if (start === undefined || end === undefined) continue;
    for (const { address, bytes } of sections(kernel, 'data')) {
      const offset = start - address;
      if (offset < 0n || end - address > BigInt(bytes.length)) continue;
      const table = bytes.subarray(Number(offset), Number(end - address));
      const found = distanceInto(
        { name: from.replace('__start_', ''), address: start, bytes: table },
        target,
        4,
      );
      if (found !== undefined) return found;
    }
  }
  return undefined;
}

/** A signed 32-bit distance from its own place that ends inside. */
function distanceInto({ name, address, bytes }: Stretch, target: Target, step: number): string | undefined {
  const words = littleEndian(bytes);
  const wanted = Number(target.start - address); // below 2^31: all of the image lies within 1 GiB
  for (let at = 0; at + 4 <= bytes.length; at += step) {
    const distance = at + words.getInt32(at, true) - wanted;
    if (distance >= 0 && distance < target.size) {
      return `an entry of ${name} at 0x${(address + BigInt(at)).toString(16)}`;
    }
  }
  return undefined;
}

/** call, jmp and jcc with a 32-bit distance, at every byte of the code: instruction boundaries are not known. */
function branchTo(kernel: Kernel, target: Target): string | undefined {
  for (const { name, address, bytes } of sections(kernel, 'code')) {
    const words = littleEndian(bytes);
    const wanted = Number(target.start - address);
    for (let at = 1; at + 4 <= bytes.length; at++) {
      const opcode = bytes[at - 1] ?? 0;
      const conditional = (opcode & 0xf0) === 0x80 && bytes[at - 2] === 0x0f;
      if (opcode !== 0xe8 && opcode !== 0xe9 && !conditional) continue;
      const distance = at + 4 + words.getInt32(at, true) - wanted;
      if (distance >= 0 && distance < target.size) {
        return `a branch in ${name} at 0x${(address + BigInt(at - 1)).toString(16)}`;
      }
    }
  }
  return undefined;
}

/** The kernel's sections that stay in memory, code or the rest; BTF is data about types and names no address. */
function* sections({ elf }: Kernel, kind: 'code' | 'data'): Generator<Stretch> {
  for (const section of elf.sections) {
    const code = (section.sh_flags & BigInt(SHF_EXECINSTR)) !== 0n;
    if ((section.sh_flags & BigInt(SHF_ALLOC)) === 0n || code !== (kind === 'code')) continue;
    if (section.name.startsWith('.BTF') || section.name.startsWith('.orc_')) continue;
    yield { name: section.name, address: section.sh_addr, bytes: elf.sectionBytes(section) };
  }
}

function littleEndian(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
