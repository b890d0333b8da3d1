/*
 * What the entry stub tells the crash stub. Lies at PLACE_CRASH_TABLE of the crash region, inside what the hook
 * sums. All addresses physical unless said otherwise. Only bare-metal code uses it, so this is its definition.
 */
#ifndef SAVEOOPS_CRASH_TABLE_H
#define SAVEOOPS_CRASH_TABLE_H
#include "frame-buffer.h"
#include "plan.h"

/* Virtual address of the crash stub's window: one page, behind what is mapped one to one. */
#define STUB_WINDOW (1ull << 32)
#define MAX_RAM_RANGES 512
#define MAX_CHECKED 4
#define CRASH_TABLE_MAGIC 0x54437653 /* "SvCT" */

struct checked_range {
	u64 start;      /* bytes */
	u64 size;       /* bytes */
	u8 sha256[32];
	char name[16];  /* for the message */
};

struct ram_range {
	u64 start;
	u64 size;
};

struct crash_table {
	u32 magic;
	u32 level5;             /* 1: the primary runs with 5-level paging */
	u64 region;             /* of the crash region */
	u64 region_size;
	u64 code32_start;       /* entry of the crash kernel */
	u64 notes_size;         /* bytes of VMCOREINFO prepared at PLACE_NOTES */
	u64 kernel_delta;       /* KASLR offset: virtual minus link address */
	u64 phys_base;          /* as in the kernel's variable of that name */
	u64 text_virtual;       /* virtual address of _text */
	u64 text_physical;
	u64 kernel_size;        /* bytes from _text to _end */
	u64 smp_stop;           /* virtual address of smp_ops.stop_other_cpus */
	u64 smp_crash_stop;     /* virtual address of smp_ops.crash_stop_other_cpus */
	u64 crash_shutdown;     /* virtual address of machine_ops.crash_shutdown, 0 if unknown */
	u64 hook_crash_shutdown; /* virtual address of the hook's entry for it */
	u64 current_task;       /* of the per-CPU pointer, relative to GS base; 0 if unknown */
	u64 task_pid;           /* offset of pid in struct task_struct */
	u64 sections_per_root;  /* for VMCOREINFO */
	u64 backup_size;        /* bytes of low memory to save */
	u64 lost;               /* after a reset: below it firmware and boot loader have used memory */
	u64 direct_map;         /* after a reset: where the kernel had mapped all RAM one to one */
	u64 constants;          /* pages of the kernel's image that it never changes; their XXH32 are at PLACE_PAGE_SUMS */
	u64 constant_pages;
	u64 boot_watchdog;      /* seconds, when the entry stub has started one, else 0 */
	u64 font;               /* FONT_SIZE bytes; 0: the kernel has none */
	struct frame_buffer pixels; /* of a screen that firmware or loader has set up, if there is a font for it */
	u32 flags;              /* PLAN_* */
	u32 screen_columns;     /* of a text mode, else 0 */
	u32 screen_lines;
	u32 checked_count;
	u32 ram_count;
	u32 after_reset;        /* 1: the machine was reset meanwhile, so the kernel's tables are not in use; set by the crash stub */
	u64 symbol[KSYM_COUNT]; /* virtual addresses, 0 if absent */
	struct checked_range checked[MAX_CHECKED];
	struct ram_range ram[MAX_RAM_RANGES];
};

/* Bit 12 of CR3 means a user table to a kernel with page-table isolation (PTI_USER_PGTABLE_BIT, arch/x86/mm/pti.c). */
_Static_assert(!(PLACE_SCRATCH_TABLES & 0x1fff), "the stub's top-level table lies on an odd page");
/* 32-bit code, the COM32 module, reads it, too: no field may depend on how a u64 is aligned. */
_Static_assert(!(__builtin_offsetof(struct crash_table, symbol) & 7) && !(__builtin_offsetof(struct crash_table, flags) & 7),
	       "alignment of struct crash_table");
_Static_assert(sizeof(struct crash_table) <= PLACE_PAGE_TABLES - PLACE_CRASH_TABLE, "crash table");

#endif
