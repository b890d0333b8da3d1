/* Generated from src/stubs/shared-layout.ts by `npm run build`: do not edit. */

#ifndef SAVEOOPS_PLAN_H
#define SAVEOOPS_PLAN_H
#include "types.h"

#define SHARED_VERSION 0xfce8693e
#define PLAN_MAGIC 0x704f7653
#define LOAD_TABLE_MAGIC 0x644c7653

#define KEPT_LIST_MAGIC 0x6c4b7653
#define MAX_KEPT_REGIONS 0x20

#define PLAN_KASLR 0x1
#define PLAN_LEVEL5 0x2
#define PLAN_OWN_CRASH_KERNEL 0x4
#define PLAN_RESET_VGA 0x8
#define PLAN_RESET_PIC 0x10
#define PLAN_STUB_DECOMPRESSES 0x20
#define PLAN_AFTER_RESET 0x40

#define CHUNK_END 0x0
#define CHUNK_IMAGE 0x1
#define CHUNK_INITRD 0x2

#define PLACE_CRASH_STUB 0x0
#define PLACE_CRASH_TABLE 0x10000
#define PLACE_PAGE_TABLES 0x20000
#define PLACE_PAGE_TABLES_END 0x28000
#define PLACE_RUNNING 0x28000
#define PLACE_PAGE_SUMS 0x29000
#define PLACE_PAGE_SUMS_END 0x80000
#define PLACE_STATE 0x80000
#define PLACE_WINDOW_TABLE 0x81000
#define PLACE_SCRATCH_TABLES 0x82000
#define PLACE_IDT 0x83000
#define PLACE_STACK_TOP 0x90000
#define PLACE_BOOT_PARAMS 0x90000
#define PLACE_CMDLINE 0x91000
#define PLACE_FONT 0x9f000
#define PLACE_FONT_END 0xa0000
#define PLACE_ELFCOREHDR 0xa0000
#define PLACE_NOTES 0xb0000
#define PLACE_NOTES_END 0x150000
#define PLACE_BACKUP 0x150000
#define PLACE_BACKUP_END 0x1f0000
#define PLACE_CRASH_KERNEL 0x200000

#define MAX_CHUNKS 16
#define MAX_MOVES 8
#define HOOK_WINDOW_PMD 508
#define STARTUP_PATTERN_SIZE 64

#define RUNNING_MARK 0x9b0d3e67c451f82a

#ifndef __ASSEMBLER__

enum {
	PART_VMLINUX = 0,
	PART_CRASH_KERNEL = 1,
	PART_CRASH_INITRD = 2,
	PART_CRASH_STUB = 3,
	PART_BOOT_PARAMS = 4,
	PART_CMDLINE = 5,
	PART_NOTES = 6,
	PART_FONT = 7,
	PART_FIXUPS = 8,
	PART_EDITS = 9,
	PART_COUNT = 10
};

enum {
	KEPT_CRASH_STUB = 0,
	KEPT_CRASH_KERNEL = 1,
	KEPT_CRASH_INITRD = 2,
	KEPT_BOOT_PARAMS = 3,
	KEPT_CMDLINE = 4,
	KEPT_COUNT = 5
};

enum {
	KSYM_machine_crash_shutdown = 0,
	KSYM_crash_smp_send_stop = 1,
	KSYM_native_stop_other_cpus = 2,
	KSYM_kdump_nmi_shootdown_cpus = 3,
	KSYM_crash_save_vmcoreinfo = 4,
	KSYM_ioapic_zap_locks = 5,
	KSYM_clear_IO_APIC = 6,
	KSYM_lapic_shutdown = 7,
	KSYM_restore_boot_irq_mode = 8,
	KSYM_hpet_disable = 9,
	KSYM_crash_notes = 10,
	KSYM_vmcoreinfo_note = 11,
	KSYM___per_cpu_offset = 12,
	KSYM_nr_cpu_ids = 13,
	KSYM___num_online_cpus = 14,
	KSYM_early_boot_irqs_disabled = 15,
	KSYM_page_offset_base = 16,
	KSYM_mem_section = 17,
	KSYM_vmalloc_base = 18,
	KSYM_vmemmap_base = 19,
	KSYM_panic_timeout = 20,
	KSYM_kexec_crash_image = 21,
	KSYM_crash_vmclear_loaded_vmcss = 22,
	KSYM_cpu_emergency_virt_callback = 23,
	KSYM_init_top_pgt = 24,
	KSYM_iomem_resource = 25,
	KSYM_COUNT = 26
};

/* one stored part of the composed image */
struct part {
	u32 offset; /* from the start of the protected-mode part, bytes */
	u32 size; /* bytes */
	u32 xxh32; /* XXH32, seed 0: checked at boot */
	u32 place; /* offset in the crash region where the part ends up, bytes */
	u8 sha256[32]; /* checked at the crash */
};
_Static_assert(sizeof(struct part) == 48, "struct part");

/* one run of bytes that arming changes; what was and what becomes of it follow */
struct edit {
	u32 offset; /* from _text, bytes */
	u32 size; /* bytes */
};
_Static_assert(sizeof(struct edit) == 8, "struct edit");

/* one segment of the kernel in what was decompressed */
struct move {
	u64 from; /* where it was decompressed, from the start, bytes */
	u64 to; /* from _text, bytes; before `from` */
	u64 size; /* bytes; 0: none */
};
_Static_assert(sizeof(struct move) == 24, "struct move");

/* what the entry stub applies; written into its image by the build */
struct plan {
	u32 magic; /* "SvOp" */
	u32 version; /* of this structure */
	u32 xxh32; /* XXH32 of the whole structure with this field zero */
	u32 stub_offset; /* of the entry stub in the protected-mode part, bytes */
	struct part part[10]; /* indexed by PART_* */
	u32 original_syssize; /* setup header field before composing, 16-byte units */
	u32 original_init_size; /* setup header field before composing, bytes */
	u64 load_physical_addr; /* lowest physical address of the kernel */
	u64 link_text; /* link-time virtual address of _text */
	u64 kernel_alignment; /* CONFIG_PHYSICAL_ALIGN, bytes */
	u64 kernel_size; /* RAM the running kernel image needs, multiple of 2 MiB */
	u64 kernel_image_size; /* KERNEL_IMAGE_SIZE: end of the virtual window, bytes */
	u64 flat_size; /* of the decompressed image without relocation lists, bytes */
	u64 entry_offset; /* of startup_64 from _text, bytes */
	u64 unpacked_size; /* of what PART_VMLINUX decompresses to, bytes */
	struct move move[8]; /* that make the image of it; what lies between is zero. None: it is the image */
	u64 relocs_64_at; /* of the 64-bit list in what was decompressed, bytes */
	u64 relocs_inverse_32_at; /* of the inverse 32-bit list, bytes */
	u64 relocs_32_at; /* of the 32-bit list, bytes */
	u32 relocs_64; /* entries of the 64-bit list */
	u32 relocs_inverse_32; /* entries of the inverse 32-bit list */
	u32 relocs_32; /* entries of the 32-bit list */
	u32 flags; /* PLAN_* */
	u64 hook_slots; /* of struct hook_slots from _text, bytes */
	u64 nosave_word; /* from _text, bytes: where the hook's sum is a second time, that hibernation does not restore */
	u64 text_to_end; /* from _text to _end, bytes */
	u64 smp_stop; /* link address of smp_ops.stop_other_cpus */
	u64 smp_crash_stop; /* link address of smp_ops.crash_stop_other_cpus */
	u64 crash_shutdown; /* link address of machine_ops.crash_shutdown, 0 if unknown */
	u64 hook_crash_shutdown; /* link address of the entry of the hook for it */
	u64 current_task; /* per-CPU pointer to the running task: offset from GS base, or link address; 0 if unknown */
	u64 task_pid; /* offset of pid in struct task_struct, bytes */
	u64 symbol[26]; /* link addresses, indexed by KSYM_* */
	u64 sections_per_root; /* mem_section structures in a page: for VMCOREINFO */
	u64 region_size; /* of the crash region, multiple of 2 MiB */
	u64 work_offset; /* of boot-time scratch memory in the crash region, bytes */
	u64 reset_entry; /* of the crash stub after a reset, offset in it, bytes */
	u64 constants; /* of pages that the kernel never changes, from _text, bytes */
	u64 constant_pages; /* their number; 0: not known */
	u64 boot_watchdog; /* --boot-watchdog, seconds; 0: none */
	u32 setup_size; /* of the setup sectors, bytes */
	u32 original_size; /* of the primary kernel's own protected-mode part, bytes */
	u32 image_size; /* of the composed protected-mode part, bytes */
	u32 original_handover; /* setup header field before composing; 0: none */
	u32 original_xloadflags; /* setup header field before composing */
	u32 original_pe_entry; /* AddressOfEntryPoint before composing; 0: none */
	u32 pe_stub_address; /* of the entry stub from the start of the PE image */
	u32 handover_entry; /* of the EFI handover entry in the entry stub, bytes */
	u32 pe_entry; /* of the PE entry in the entry stub, bytes */
	u32 text_end; /* of the entry stub's code and constants, bytes */
	u8 startup[64]; /* first bytes at startup_64 of the kernel, masked */
	u8 startup_mask[64]; /* 0 for bytes that KASLR changes, else 0xff */
};
_Static_assert(sizeof(struct plan) == 1304, "struct plan");

/* one run of bytes of saveoops.c32, in file order */
struct chunk {
	u32 size; /* bytes of the content */
	u32 stored_size; /* bytes in the file, with padding */
	u32 checked_size; /* leading bytes whose XXH3 the module checks: none, or more than 240 */
	u32 kind; /* CHUNK_* */
	u8 xxh3[8]; /* of the checked bytes: 64 bits, little-endian, seed 0 */
};
_Static_assert(sizeof(struct chunk) == 24, "struct chunk");

/* what must be found in the crash region before it is believed after a reset */
struct kept_part {
	u32 place; /* offset in the crash region, bytes */
	u32 size; /* bytes */
	u8 sha256[32]; /* of these bytes */
};
_Static_assert(sizeof(struct kept_part) == 40, "struct kept_part");

/* what must be found in the crash region of a kernel of one payload */
struct kept_region {
	u32 reset_entry; /* of the crash stub after a reset: offset in the region; 0: none, and nothing is looked for */
	u32 region_size; /* of the crash region, bytes */
	struct kept_part kept[5]; /* indexed by KEPT_* */
};
_Static_assert(sizeof(struct kept_region) == 208, "struct kept_region");

/* what the COM32 module reads; written into its data by the build */
struct load_table {
	u32 magic; /* "SvLd" */
	u32 version; /* of this structure */
	u32 head_size; /* bytes of the file before the first chunk */
	u32 head_xxh32; /* of these bytes with this structure zero, seed 0 */
	u32 offset; /* of this structure in the file, bytes */
	u32 xxh32; /* XXH32 of the whole structure with this field zero */
	u32 mark; /* of the entry stub's image_checked in the image, bytes: 1 goes there */
	struct chunk chunk[16]; /* until CHUNK_END */
	struct kept_region own[1]; /* of this payload */
};
_Static_assert(sizeof(struct load_table) == 620, "struct load_table");

/* what `saveoops update` tells each module of the other payloads, a file of its own */
struct kept_list {
	u32 magic; /* "SvKl" */
	u32 version; /* of this structure */
	u32 xxh32; /* XXH32 of the whole structure with this field zero */
	u32 count; /* of regions; those behind are zero */
	struct kept_region region[32]; /* one a payload */
};
_Static_assert(sizeof(struct kept_list) == 6672, "struct kept_list");

/* tells after a reset that a kernel was running, and has not ended in an orderly way */
struct running {
	u64 mark; /* RUNNING_MARK; 0 once the kernel has ended, or its death is captured */
	u32 version; /* of this structure */
	u32 xxh32; /* XXH32 of the whole structure with this field and the mark zero */
	u64 region; /* physical address of the crash region */
	u64 sum; /* the hook's: over the region's first PLACE_PAGE_TABLES_END bytes */
	u64 hook_slots; /* physical address of struct hook_slots in the kernel */
	u64 nosave_word; /* physical address of the word of plan.nosave_word */
};
_Static_assert(sizeof(struct running) == 48, "struct running");

#endif
#endif
