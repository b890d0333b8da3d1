/**
 * The structures that TypeScript writes and the bare-metal code reads: the one definition. `npm run build` renders
 * them as stubs/include/plan.h, a test fails when the committed header differs, and the header asserts every size.
 * All integers are little-endian; offsets follow from the order, each field aligned to its own size.
 */

import { xxh32 } from '../bytes/digests.js';

type FieldType =
  'u32' | 'u64' | { readonly struct: StructDef; readonly count: number } | { readonly bytes: number };

interface Field {
  readonly name: string;
  readonly type: FieldType | { readonly u64s: number };
  readonly comment: string;
}

export interface StructDef {
  readonly name: string;
  readonly comment: string;
  readonly fields: readonly Field[];
}

/** A part of the composed image: offsets are from the start of its protected-mode part. */
export const partDef: StructDef = {
  name: 'part',
  comment: 'one stored part of the composed image',
  fields: [
    { name: 'offset', type: 'u32', comment: 'from the start of the protected-mode part, bytes' },
    { name: 'size', type: 'u32', comment: 'bytes' },
    { name: 'xxh32', type: 'u32', comment: 'XXH32, seed 0: checked at boot' },
    { name: 'place', type: 'u32', comment: 'offset in the crash region where the part ends up, bytes' },
    { name: 'sha256', type: { bytes: 32 }, comment: 'checked at the crash' },
  ],
};

/** Order of `plan.part`. */
export const partNames = [
  'VMLINUX', // the primary kernel and its relocation lists, LZ4 legacy frame: its bzImage's own payload, or one made by the build
  'CRASH_KERNEL', // protected-mode part of the crash kernel's bzImage
  'CRASH_INITRD',
  'CRASH_STUB',
  'BOOT_PARAMS', // template of the crash kernel's boot_params
  'CMDLINE', // command line of the crash kernel, NUL-terminated, `elfcorehdr=` is appended at boot
  'NOTES', // ELF notes: VMCOREINFO with room for what only the running machine knows
  'FONT', // 256 characters of 8x16 pixels for text on a frame buffer, from the primary kernel; empty: it has none
  'FIXUPS', // u32 offsets in NOTES of 16-digit hexadecimal addresses that KASLR moves
  'EDITS', // struct edit each, then `size` bytes that must be there and `size` bytes for their place, padded to 4
] as const;
export type PartName = (typeof partNames)[number];

/** What arms the decompressed image: one record of PART_EDITS. */
export const editDef: StructDef = {
  name: 'edit',
  comment: 'one run of bytes that arming changes; what was and what becomes of it follow',
  fields: [
    { name: 'offset', type: 'u32', comment: 'from _text, bytes' },
    { name: 'size', type: 'u32', comment: 'bytes' },
  ],
};

/** A run of the decompressed data that goes elsewhere, in order: nothing that is still to come is overwritten. */
export const moveDef: StructDef = {
  name: 'move',
  comment: 'one segment of the kernel in what was decompressed',
  fields: [
    { name: 'from', type: 'u64', comment: 'where it was decompressed, from the start, bytes' },
    { name: 'to', type: 'u64', comment: 'from _text, bytes; before `from`' },
    { name: 'size', type: 'u64', comment: 'bytes; 0: none' },
  ],
};
/** Kernels have four or five. */
export const maxMoves = 8;

/**
 * Kernel symbols whose run-time addresses the crash stub may need; a zero means the kernel has no such symbol.
 * The comment of each is what it is used for.
 */
export const kernelSymbolNames = [
  'machine_crash_shutdown', // quiesce as kdump does, saving every CPU's registers
  'crash_smp_send_stop', // stop the other CPUs by NMI, once
  'native_stop_other_cpus', // stop them before crash_notes exists
  'kdump_nmi_shootdown_cpus', // native value of smp_ops.crash_stop_other_cpus
  'crash_save_vmcoreinfo', // adds CRASHTIME to the kernel's own note
  'ioapic_zap_locks', // the piecewise quiesce, before crash_notes exists
  'clear_IO_APIC',
  'lapic_shutdown',
  'restore_boot_irq_mode',
  'hpet_disable',
  'crash_notes', // per-CPU NT_PRSTATUS notes, null before crash_notes_memory_init
  'vmcoreinfo_note', // the kernel's own VMCOREINFO note, null before crash_save_vmcoreinfo_init
  '__per_cpu_offset',
  'nr_cpu_ids',
  '__num_online_cpus',
  'early_boot_irqs_disabled', // non-zero until start_kernel enables interrupts
  'page_offset_base',
  'mem_section',
  'vmalloc_base', // for VMCOREINFO
  'vmemmap_base',
  'panic_timeout', // what `panic=` says, when the stub itself fails
  'kexec_crash_image', // set while panic() runs its notifiers first, so that it comes back to us
  'crash_vmclear_loaded_vmcss', // pointer to KVM's function that clears the loaded VMCSs, until 6.5
  'cpu_emergency_virt_callback', // its successor, which leaves VMX operation as well; in 6.1's later updates, too
  'init_top_pgt', // after a reset: top of the page tables, to see whether they still hold
  'iomem_resource', // root of the resource tree, for RAM that was added after the boot
] as const;
export type KernelSymbolName = (typeof kernelSymbolNames)[number];

/** So many bytes of the decompressed startup_64 tell it from everything else. */
export const startupPatternSize = 64;

export const planDef: StructDef = {
  name: 'plan',
  comment: 'what the entry stub applies; written into its image by the build',
  fields: [
    { name: 'magic', type: 'u32', comment: '"SvOp"' },
    { name: 'version', type: 'u32', comment: 'of this structure' },
    { name: 'xxh32', type: 'u32', comment: 'XXH32 of the whole structure with this field zero' },
    { name: 'stub_offset', type: 'u32', comment: 'of the entry stub in the protected-mode part, bytes' },
    { name: 'part', type: { struct: partDef, count: partNames.length }, comment: 'indexed by PART_*' },
    { name: 'original_syssize', type: 'u32', comment: 'setup header field before composing, 16-byte units' },
    { name: 'original_init_size', type: 'u32', comment: 'setup header field before composing, bytes' },
    { name: 'load_physical_addr', type: 'u64', comment: 'lowest physical address of the kernel' },
    { name: 'link_text', type: 'u64', comment: 'link-time virtual address of _text' },
    { name: 'kernel_alignment', type: 'u64', comment: 'CONFIG_PHYSICAL_ALIGN, bytes' },
    { name: 'kernel_size', type: 'u64', comment: 'RAM the running kernel image needs, multiple of 2 MiB' },
    {
      name: 'kernel_image_size',
      type: 'u64',
      comment: 'KERNEL_IMAGE_SIZE: end of the virtual window, bytes',
    },
    { name: 'flat_size', type: 'u64', comment: 'of the decompressed image without relocation lists, bytes' },
    { name: 'entry_offset', type: 'u64', comment: 'of startup_64 from _text, bytes' },
    { name: 'unpacked_size', type: 'u64', comment: 'of what PART_VMLINUX decompresses to, bytes' },
    {
      name: 'move',
      type: { struct: moveDef, count: maxMoves },
      comment: 'that make the image of it; what lies between is zero. None: it is the image',
    },
    { name: 'relocs_64_at', type: 'u64', comment: 'of the 64-bit list in what was decompressed, bytes' },
    { name: 'relocs_inverse_32_at', type: 'u64', comment: 'of the inverse 32-bit list, bytes' },
    { name: 'relocs_32_at', type: 'u64', comment: 'of the 32-bit list, bytes' },
    { name: 'relocs_64', type: 'u32', comment: 'entries of the 64-bit list' },
    { name: 'relocs_inverse_32', type: 'u32', comment: 'entries of the inverse 32-bit list' },
    { name: 'relocs_32', type: 'u32', comment: 'entries of the 32-bit list' },
    { name: 'flags', type: 'u32', comment: 'PLAN_*' },
    { name: 'hook_slots', type: 'u64', comment: 'of struct hook_slots from _text, bytes' },
    {
      name: 'nosave_word',
      type: 'u64',
      comment: "from _text, bytes: where the hook's sum is a second time, that hibernation does not restore",
    },
    { name: 'text_to_end', type: 'u64', comment: 'from _text to _end, bytes' },
    { name: 'smp_stop', type: 'u64', comment: 'link address of smp_ops.stop_other_cpus' },
    { name: 'smp_crash_stop', type: 'u64', comment: 'link address of smp_ops.crash_stop_other_cpus' },
    {
      name: 'crash_shutdown',
      type: 'u64',
      comment: 'link address of machine_ops.crash_shutdown, 0 if unknown',
    },
    { name: 'hook_crash_shutdown', type: 'u64', comment: 'link address of the entry of the hook for it' },
    {
      name: 'current_task',
      type: 'u64',
      comment: 'per-CPU pointer to the running task: offset from GS base, or link address; 0 if unknown',
    },
    { name: 'task_pid', type: 'u64', comment: 'offset of pid in struct task_struct, bytes' },
    {
      name: 'symbol',
      type: { u64s: kernelSymbolNames.length },
      comment: 'link addresses, indexed by KSYM_*',
    },
    { name: 'sections_per_root', type: 'u64', comment: 'mem_section structures in a page: for VMCOREINFO' },
    { name: 'region_size', type: 'u64', comment: 'of the crash region, multiple of 2 MiB' },
    { name: 'work_offset', type: 'u64', comment: 'of boot-time scratch memory in the crash region, bytes' },
    { name: 'reset_entry', type: 'u64', comment: 'of the crash stub after a reset, offset in it, bytes' },
    { name: 'constants', type: 'u64', comment: 'of pages that the kernel never changes, from _text, bytes' },
    { name: 'constant_pages', type: 'u64', comment: 'their number; 0: not known' },
    { name: 'boot_watchdog', type: 'u64', comment: '--boot-watchdog, seconds; 0: none' },
    { name: 'setup_size', type: 'u32', comment: 'of the setup sectors, bytes' },
    { name: 'original_size', type: 'u32', comment: "of the primary kernel's own protected-mode part, bytes" },
    { name: 'image_size', type: 'u32', comment: 'of the composed protected-mode part, bytes' },
    { name: 'original_handover', type: 'u32', comment: 'setup header field before composing; 0: none' },
    { name: 'original_xloadflags', type: 'u32', comment: 'setup header field before composing' },
    { name: 'original_pe_entry', type: 'u32', comment: 'AddressOfEntryPoint before composing; 0: none' },
    { name: 'pe_stub_address', type: 'u32', comment: 'of the entry stub from the start of the PE image' },
    { name: 'handover_entry', type: 'u32', comment: 'of the EFI handover entry in the entry stub, bytes' },
    { name: 'pe_entry', type: 'u32', comment: 'of the PE entry in the entry stub, bytes' },
    { name: 'text_end', type: 'u32', comment: "of the entry stub's code and constants, bytes" },
    {
      name: 'startup',
      type: { bytes: startupPatternSize },
      comment: 'first bytes at startup_64 of the kernel, masked',
    },
    {
      name: 'startup_mask',
      type: { bytes: startupPatternSize },
      comment: '0 for bytes that KASLR changes, else 0xff',
    },
  ],
};

/** Bits of plan.flags. */
export const planFlags = {
  KASLR: 1, // the kernel has relocations and CONFIG_RANDOMIZE_BASE
  LEVEL5: 2, // XLF_5LEVEL and XLF_5LEVEL_ENABLED
  OWN_CRASH_KERNEL: 4, // the crash kernel is not the image's own leading bzImage
  RESET_VGA: 8, // the crash stub puts the VGA into text mode
  RESET_PIC: 16, // the crash stub gives the 8259s the BIOS's vectors
  STUB_DECOMPRESSES: 32, // the kernel's EFI stub enters a kernel that it has decompressed, not the bzImage
  AFTER_RESET: 64, // the entry stub leaves struct running, by which the COM32 module captures after a reset
} as const;

/** One run of bytes that the COM32 module reads from its own file, in file order. */
export const chunkDef: StructDef = {
  name: 'chunk',
  comment: 'one run of bytes of saveoops.c32, in file order',
  fields: [
    { name: 'size', type: 'u32', comment: 'bytes of the content' },
    { name: 'stored_size', type: 'u32', comment: 'bytes in the file, with padding' },
    {
      name: 'checked_size',
      type: 'u32',
      comment: 'leading bytes whose XXH3 the module checks: none, or more than 240',
    },
    { name: 'kind', type: 'u32', comment: 'CHUNK_*' },
    { name: 'xxh3', type: { bytes: 8 }, comment: 'of the checked bytes: 64 bits, little-endian, seed 0' },
  ],
};
export const chunkKinds = { END: 0, IMAGE: 1, INITRD: 2 } as const;
export const maxChunks = 16;

/** A part as it lies in the crash region of a kernel that was running. */
export const keptPartDef: StructDef = {
  name: 'kept_part',
  comment: 'what must be found in the crash region before it is believed after a reset',
  fields: [
    { name: 'place', type: 'u32', comment: 'offset in the crash region, bytes' },
    { name: 'size', type: 'u32', comment: 'bytes' },
    { name: 'sha256', type: { bytes: 32 }, comment: 'of these bytes' },
  ],
};

/**
 * Order of `load_table.kept`. The command line counts without its final NUL, as the entry stub adds words; boot_params with
 * what the entry stub sets zero (src/payload/kept-parts.ts).
 */
export const keptPartNames = [
  'CRASH_STUB',
  'CRASH_KERNEL',
  'CRASH_INITRD',
  'BOOT_PARAMS',
  'CMDLINE',
] as const;

/** What tells the module of one payload's crash region. */
export const keptRegionDef: StructDef = {
  name: 'kept_region',
  comment: 'what must be found in the crash region of a kernel of one payload',
  fields: [
    {
      name: 'reset_entry',
      type: 'u32',
      comment: 'of the crash stub after a reset: offset in the region; 0: none, and nothing is looked for',
    },
    { name: 'region_size', type: 'u32', comment: 'of the crash region, bytes' },
    {
      name: 'kept',
      type: { struct: keptPartDef, count: keptPartNames.length },
      comment: 'indexed by KEPT_*',
    },
  ],
};

export const loadTableDef: StructDef = {
  name: 'load_table',
  comment: 'what the COM32 module reads; written into its data by the build',
  fields: [
    { name: 'magic', type: 'u32', comment: '"SvLd"' },
    { name: 'version', type: 'u32', comment: 'of this structure' },
    { name: 'head_size', type: 'u32', comment: 'bytes of the file before the first chunk' },
    { name: 'head_xxh32', type: 'u32', comment: 'of these bytes with this structure zero, seed 0' },
    { name: 'offset', type: 'u32', comment: 'of this structure in the file, bytes' },
    { name: 'xxh32', type: 'u32', comment: 'XXH32 of the whole structure with this field zero' },
    {
      name: 'mark',
      type: 'u32',
      comment: "of the entry stub's image_checked in the image, bytes: 1 goes there",
    },
    { name: 'chunk', type: { struct: chunkDef, count: maxChunks }, comment: 'until CHUNK_END' },
    { name: 'own', type: { struct: keptRegionDef, count: 1 }, comment: 'of this payload' },
  ],
};

/** Payloads in the list: far more than a machine keeps. */
export const maxKeptRegions = 32;

/**
 * A file beside the folders of an installed system's payloads: what the module of one payload must know of the others to
 * capture what a kernel of theirs has left.
 */
export const keptListDef: StructDef = {
  name: 'kept_list',
  comment: 'what `saveoops update` tells each module of the other payloads, a file of its own',
  fields: [
    { name: 'magic', type: 'u32', comment: '"SvKl"' },
    { name: 'version', type: 'u32', comment: 'of this structure' },
    { name: 'xxh32', type: 'u32', comment: 'XXH32 of the whole structure with this field zero' },
    { name: 'count', type: 'u32', comment: 'of regions; those behind are zero' },
    { name: 'region', type: { struct: keptRegionDef, count: maxKeptRegions }, comment: 'one a payload' },
  ],
};

/**
 * What the entry stub leaves in the crash region to tell, after a reset, that a kernel was running: at
 * regionPlaces.RUNNING. All that is known of that kernel otherwise is in struct crash_table.
 */
export const runningDef: StructDef = {
  name: 'running',
  comment: 'tells after a reset that a kernel was running, and has not ended in an orderly way',
  fields: [
    {
      name: 'mark',
      type: 'u64',
      comment: 'RUNNING_MARK; 0 once the kernel has ended, or its death is captured',
    },
    { name: 'version', type: 'u32', comment: 'of this structure' },
    { name: 'xxh32', type: 'u32', comment: 'XXH32 of the whole structure with this field and the mark zero' },
    { name: 'region', type: 'u64', comment: 'physical address of the crash region' },
    { name: 'sum', type: 'u64', comment: "the hook's: over the region's first PLACE_PAGE_TABLES_END bytes" },
    { name: 'hook_slots', type: 'u64', comment: 'physical address of struct hook_slots in the kernel' },
    { name: 'nosave_word', type: 'u64', comment: 'physical address of the word of plan.nosave_word' },
  ],
};

/** Far from what a flipped bit makes of 0, and of what random RAM holds. */
export const runningMark = 0x9b0d_3e67_c451_f82an;

export const planMagic = 0x704f7653; // "SvOp"
export const loadTableMagic = 0x644c7653; // "SvLd"
export const keptListMagic = 0x6c4b7653; // "SvKl"

/** Offsets in the crash region, bytes. Everything below `protectedEnd` is covered by the hook's sum. */
export const regionPlaces = {
  CRASH_STUB: 0x0, // code and data of the crash stub
  CRASH_TABLE: 0x10000, // struct crash_table (stubs/include/crash-table.h)
  PAGE_TABLES: 0x20000, // the stub's part of the address space: region and first 2 MiB one to one, its window
  PAGE_TABLES_END: 0x28000, // also the end of what the hook sums
  RUNNING: 0x28000, // struct running, alone in its page
  PAGE_SUMS: 0x29000, // XXH32 of each of the kernel's constant pages, u32
  PAGE_SUMS_END: 0x80000,
  STATE: 0x80000, // once-only flag, saved registers
  WINDOW_TABLE: 0x81000, // last-level table of the crash stub's window on any physical page
  // Even pages only: CR3 with bit 12 set is a user table to a kernel with page-table isolation.
  SCRATCH_TABLES: 0x82000, // copy of the dead kernel's top-level table, which the stub runs on
  IDT: 0x83000, // of the crash stub
  STACK_TOP: 0x90000, // 48 KiB of stack below
  BOOT_PARAMS: 0x90000, // of the crash kernel
  CMDLINE: 0x91000,
  FONT: 0x9f000, // 256 characters of 16 bytes
  FONT_END: 0xa0000,
  ELFCOREHDR: 0xa0000, // ELF header and program headers
  NOTES: 0xb0000, // VMCOREINFO and one NT_PRSTATUS a CPU
  NOTES_END: 0x150000,
  BACKUP: 0x150000, // the dead kernel's first 640 KiB
  BACKUP_END: 0x1f0000,
  CRASH_KERNEL: 0x200000,
} as const;

/**
 * The entry of level2_fixmap_pgt by which the hook reaches the crash region: the first behind the fixmap
 * (src/arm/fixmap-window.ts). By the next one it reads the dead kernel's top-level table.
 */
export const hookWindowPmd = 508;

/**
 * Stands for the layout of everything here, so that stubs built from another one are recognised: by the build when
 * it reads them, and by the stubs when they read what it wrote.
 */
export const sharedVersion = xxh32(
  Buffer.from(
    JSON.stringify([
      ...[planDef, loadTableDef, editDef, partNames, kernelSymbolNames, planFlags, regionPlaces],
      ...[hookWindowPmd, runningDef, runningMark.toString(16), keptPartNames, keptListDef],
    ]),
  ),
);

export function fieldSize(type: Field['type']): number {
  if (type === 'u32') return 4;
  if (type === 'u64') return 8;
  if ('bytes' in type) return type.bytes;
  if ('u64s' in type) return 8 * type.u64s;
  return structSize(type.struct) * type.count;
}

function fieldAlignment(type: Field['type']): number {
  if (type === 'u32') return 4;
  if (type === 'u64') return 8;
  if ('bytes' in type) return 1;
  if ('u64s' in type) return 8;
  return structAlignment(type.struct);
}

function structAlignment(def: StructDef): number {
  return Math.max(...def.fields.map((field) => fieldAlignment(field.type)));
}

/** Size of a structure, bytes. */
export function structSize(def: StructDef): number {
  const last = layoutOf(def).at(-1);
  if (last === undefined) return 0;
  const alignment = structAlignment(def);
  return Math.ceil((last.offset + last.size) / alignment) * alignment;
}

/** Offset and size of every field, bytes. */
export function layoutOf(def: StructDef): { name: string; offset: number; size: number }[] {
  let at = 0;
  return def.fields.map((field) => {
    const alignment = fieldAlignment(field.type);
    const offset = Math.ceil(at / alignment) * alignment;
    const size = fieldSize(field.type);
    at = offset + size;
    return { name: field.name, offset, size };
  });
}

/** Offset of one field, bytes. Throws a RangeError for a name that the structure does not have: a bug. */
export function offsetOf(def: StructDef, name: string): number {
  const field = layoutOf(def).find((each) => each.name === name);
  if (field === undefined) throw new RangeError(`struct ${def.name} has no field ${name}`);
  return field.offset;
}

/** The C header with the same structures. */
export function renderHeader(): string {
  const structs = [
    ...[partDef, editDef, moveDef, planDef, chunkDef],
    ...[keptPartDef, keptRegionDef, loadTableDef, keptListDef, runningDef],
  ].map((def) => {
    const fields = def.fields.map(
      ({ name, type, comment }) => `\t${declare(name, type)}; /* ${comment} */\n`,
    );
    return (
      `/* ${def.comment} */\nstruct ${def.name} {\n${fields.join('')}};\n` +
      `_Static_assert(sizeof(struct ${def.name}) == ${structSize(def)}, "struct ${def.name}");\n`
    );
  });
  const names = (prefix: string, list: readonly string[]): string =>
    `enum {\n${list.map((name, index) => `\t${prefix}${name} = ${index},\n`).join('')}\t${prefix}COUNT = ${list.length}\n};\n`;
  const values = (prefix: string, table: Readonly<Record<string, number>>): string =>
    Object.entries(table)
      .map(([name, value]) => `#define ${prefix}${name} 0x${value.toString(16)}\n`)
      .join('');
  return [
    '/* Generated from src/stubs/shared-layout.ts by `npm run build`: do not edit. */\n',
    '#ifndef SAVEOOPS_PLAN_H\n#define SAVEOOPS_PLAN_H\n#include "types.h"\n',
    values('', { SHARED_VERSION: sharedVersion, PLAN_MAGIC: planMagic, LOAD_TABLE_MAGIC: loadTableMagic }),
    values('', { KEPT_LIST_MAGIC: keptListMagic, MAX_KEPT_REGIONS: maxKeptRegions }),
    values('PLAN_', planFlags),
    values('CHUNK_', chunkKinds),
    values('PLACE_', regionPlaces),
    `#define MAX_CHUNKS ${maxChunks}\n#define MAX_MOVES ${maxMoves}\n#define HOOK_WINDOW_PMD ${hookWindowPmd}\n#define STARTUP_PATTERN_SIZE ${startupPatternSize}\n`,
    `#define RUNNING_MARK 0x${runningMark.toString(16)}\n`,
    '#ifndef __ASSEMBLER__\n',
    names('PART_', partNames),
    names('KEPT_', keptPartNames),
    names('KSYM_', kernelSymbolNames),
    ...structs,
    '#endif\n#endif\n',
  ].join('\n');
}

function declare(name: string, type: Field['type']): string {
  if (type === 'u32' || type === 'u64') return `${type} ${name}`;
  if ('bytes' in type) return `u8 ${name}[${type.bytes}]`;
  if ('u64s' in type) return `u64 ${name}[${type.u64s}]`;
  return `struct ${type.struct.name} ${name}[${type.count}]`;
}
