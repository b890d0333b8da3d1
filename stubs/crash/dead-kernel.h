/* The dead kernel, seen from the crash stub: its registers, its memory, its functions. Addresses are its virtual ones. */
#ifndef SAVEOOPS_DEAD_KERNEL_H
#define SAVEOOPS_DEAD_KERNEL_H
#include "crash-table.h"
#include "machine.h"

#define PAGE 4096ull
#define PAGE_OFFSET_BASE_L4 0xffff888000000000ull /* CONFIG_DYNAMIC_MEMORY_LAYOUT=n */

/* The state page: crash.h has the offsets of what crash.S writes. */
struct state {
	u64 entered, cr3, cr4, rsp, back, rbx, rbp, r12, r13, r14, r15, rdi;
	u64 native_crash_shutdown; /* what machine_ops.crash_shutdown held before we took its place, or 0 */
	u64 native_complement; /* ~native_crash_shutdown: no digest covers it while the notifiers run */
	s64 panic_timeout; /* seconds */
	u64 ended; /* exceptions in the stub so far */
};

/* The order in which the kernel pushes them: arch/x86/include/asm/ptrace.h. */
struct pt_regs {
	u64 r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, orig_ax, ip, cs, flags, sp, ss;
};

static inline void *at(u64 address)
{
	return (void *)(usize)address;
}

static inline struct crash_table *table_of(u64 region)
{
	return at(region + PLACE_CRASH_TABLE);
}

/* Page-table entry flags (Intel SDM vol. 3, 4.5): present, writable, and for devices PWT, PCD: uncached. */
#define WINDOW_RAM 0x03
#define WINDOW_DEVICE 0x1b

/* The page at a physical address, until the next call: RAM may have come that no table of the boot knows. */
volatile void *window(const struct crash_table *table, u64 physical, u64 flags);

/* 8 bytes of RAM, wherever they lie; aligned. */
u64 physical_word(const struct crash_table *table, u64 physical);

/* Whether every page of [address, address + size) is mapped now: a walk, since a fault here would lose the capture. */
int mapped(const struct crash_table *table, u64 address, u64 size);

/*
 * Copies size bytes from an address of the dead kernel. 0 when they are not all there. After a reset its tables are not
 * used: addresses of the image and of the direct map are known without them.
 */
int read_kernel(const struct crash_table *table, u64 address, void *to, u64 size);

/* Where the kernel maps all RAM one to one. */
u64 direct_map(const struct crash_table *table);

/* The value of 1, 4 or 8 bytes at an address, or of a variable (KSYM_*); 0 when there is none. */
u64 kernel_value_at(const struct crash_table *table, u64 address, int size);
u64 kernel_value(const struct crash_table *table, int symbol, int size);

/* Calls a function (KSYM_*) of one argument on the dead kernel's stack; nothing happens when there is none. */
void call(const struct crash_table *table, const struct state *state, int symbol, u64 argument);

/* Writes a pointer, read-only or not. */
void set_pointer(u64 address, u64 value);

#endif
