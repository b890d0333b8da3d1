/*
 * Crash stub: from the dead kernel's panic() to the crash kernel. Follows crash_table; see stubs/README.md.
 * Everything up to point_of_no_return can still go back to panic(): crash_main() then returns.
 */
#include "crash.h"
#include "crash-table.h"
#include "hook-slots.h"
#include "reset.h"
#include "say.h"
#include "sha256.h"

DEFINE_MEMORY_FUNCTIONS

#define PAGE 4096ull
#define PLACE_IDT (PLACE_SCRATCH_TABLES + 0x1000)
#define ADDRESS_BITS 0x000ffffffffff000ull
#define PAGE_OFFSET_BASE_L4 0xffff888000000000ull /* CONFIG_DYNAMIC_MEMORY_LAYOUT=n */
#define CR4_CET (1ull << 23)
#define CR4_LASS (1ull << 27)
#define NT_PRSTATUS 1
#define PRSTATUS_SIZE 336       /* sizeof(struct elf_prstatus) on x86-64 */
#define PRSTATUS_NOTE_SIZE (12 + 8 + PRSTATUS_SIZE)
#define PR_PID 32               /* offsetof(struct elf_prstatus, pr_pid) */
#define PR_REG 112              /* offsetof(struct elf_prstatus, pr_reg): 27 registers */
#define MAX_CPUS 1024

void call_kernel(u64 stack, u64 function, u64 argument);
void leave_vmx(void);
void use_own_tables(u64 idt);
void enter_crash_kernel(u64 entry, u64 boot_params);
extern char on_exception[];

struct state {
	u64 entered, cr3, cr4, rsp, back, rbx, rbp, r12, r13, r14, r15, rdi;
	u64 native_crash_shutdown; /* what machine_ops.crash_shutdown held before we took its place, or 0 */
	s64 panic_timeout; /* seconds */
};

/* The order in which the kernel pushes them: arch/x86/include/asm/ptrace.h. */
struct pt_regs {
	u64 r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, orig_ax, ip, cs, flags, sp, ss;
};

struct elf_header {
	u8 ident[16];
	u16 type, machine;
	u32 version;
	u64 entry, phoff, shoff;
	u32 flags;
	u16 ehsize, phentsize, phnum, shentsize, shnum, shstrndx;
};

struct program_header {
	u32 type, flags;
	u64 offset, vaddr, paddr, filesz, memsz, align;
};

static void *at(u64 address)
{
	return (void *)(usize)address;
}

static struct crash_table *table_of(u64 region)
{
	return at(region + PLACE_CRASH_TABLE);
}

static void tell(const struct crash_table *table, const char *text, const char *name)
{
	struct line line = { .used = 0 };

	add_text(&line, text);
	add_text(&line, name);
	add_text(&line, "\n");
	say_serial(line.text);
	say_screen(line.text, (int)table->screen_columns, (int)table->screen_lines);
}

/* ---- the dead kernel's memory ---- */

/*
 * The dead kernel's top-level page table with the identity map as its first entry: kernel addresses and physical
 * ones are valid at once. Address bits only: CR3 also carries PCID and LAM bits.
 */
static void map_dead_kernel(const struct crash_table *table, const struct state *state)
{
	u64 *top = at(table->region + PLACE_SCRATCH_TABLES);

	memcpy(top, at(state->cr3 & ADDRESS_BITS), PAGE);
	top[0] = table->identity_table | 3;
	__asm__ volatile("mov %0, %%cr3" : : "r"(top) : "memory");
}

/* Whether every page of [address, address + size) is mapped now: a walk, since a fault here would lose the capture. */
static int mapped(const struct crash_table *table, u64 address, u64 size)
{
	u64 page, last = address + size - 1;

	if (!size || last < address)
		return 0;
	for (page = address & ~(PAGE - 1); page <= last && page >= (address & ~(PAGE - 1)); page += PAGE) {
		u64 entry = table->region + PLACE_SCRATCH_TABLES;
		int level;

		for (level = table->level5 ? 4 : 3; level >= 0; level--) {
			entry = ((u64 *)at(entry & ADDRESS_BITS))[page >> (12 + 9 * level) & 511];
			if (!(entry & 1))
				return 0;
			if ((entry & 0x80) && (level == 1 || level == 2))
				break;
		}
	}
	return 1;
}

/* The value of 1, 4 or 8 bytes at a kernel address; 0 when there is none. */
static u64 kernel_value_at(const struct crash_table *table, u64 address, int size)
{
	u64 value = 0;

	if (address && mapped(table, address, (u64)size))
		memcpy(&value, at(address), (usize)size);
	return value;
}

static u64 kernel_value(const struct crash_table *table, int symbol, int size)
{
	return kernel_value_at(table, table->symbol[symbol], size);
}

static void call(const struct crash_table *table, const struct state *state, int symbol, u64 argument)
{
	if (table->symbol[symbol])
		call_kernel(state->rsp, table->symbol[symbol], argument);
}

/* Writes a pointer of the dead kernel. CR0.WP is off meanwhile: smp_ops and machine_ops are read-only after boot. */
static void set_pointer(u64 address, u64 value)
{
	u64 cr0;

	__asm__ volatile("mov %%cr0, %0" : "=r"(cr0));
	__asm__ volatile("mov %0, %%cr0" : : "r"(cr0 & ~0x10000ull));
	*(volatile u64 *)at(address) = value;
	__asm__ volatile("mov %0, %%cr0" : : "r"(cr0));
}

/* The kernel's own functions go through these pointers: they must meet native functions there, not the hook. */
static void unhook(const struct crash_table *table, const struct state *state)
{
	set_pointer(table->smp_stop, table->symbol[KSYM_native_stop_other_cpus]);
	set_pointer(table->smp_crash_stop, table->symbol[KSYM_kdump_nmi_shootdown_cpus]);
	if (state->native_crash_shutdown) {
		set_pointer(table->crash_shutdown, state->native_crash_shutdown);
		set_pointer(table->symbol[KSYM_kexec_crash_image], 0);
	}
}

/* Which entry of the hook led here: on the stack, above RFLAGS. */
static u64 hook_entry(const struct state *state)
{
	return ((const u64 *)at(state->rsp))[1];
}

/* ---- before the point of no return ---- */

static int all_intact(const struct crash_table *table)
{
	u32 i;

	for (i = 0; i < table->checked_count; i++) {
		const struct checked_range *range = &table->checked[i];
		u8 digest[32];

		sha256(at(range->start), range->size, digest);
		if (!memcmp(digest, range->sha256, 32))
			continue;
		tell(table, "saveoops: E30 not captured, SHA-256 differs: ", range->name);
		return 0;
	}
	return 1;
}

static void stop_other_cpus(const struct crash_table *table, const struct state *state)
{
	/* Before crash_notes_memory_init a CPU's registers have nowhere to go, and saving them would damage it. */
	if (kernel_value(table, KSYM_crash_notes, 8))
		call(table, state, KSYM_crash_smp_send_stop, 0);
	else if (kernel_value(table, KSYM___num_online_cpus, 4) > 1)
		call(table, state, KSYM_native_stop_other_cpus, 0);
}

/*
 * crash_kexec_post_notifiers: the panic notifiers and kmsg dumpers (pstore) run first, and then __crash_kexec() calls
 * machine_ops.crash_shutdown, if kexec_crash_image is set. So both are set, for that moment only, and the hook is
 * entered a second time. Before crash_notes exists no kdump could have been loaded either: no such detour then.
 */
static int notifiers_first(const struct crash_table *table, const struct state *state)
{
	return hook_entry(state) == HOOK_CRASH_STOP && kernel_value(table, KSYM_crash_notes, 8) &&
	       kernel_value_at(table, table->crash_shutdown, 8);
}

static void come_back_after_notifiers(const struct crash_table *table, struct state *state)
{
	state->native_crash_shutdown = kernel_value_at(table, table->crash_shutdown, 8);
	set_pointer(table->crash_shutdown, table->hook_crash_shutdown);
	set_pointer(table->symbol[KSYM_kexec_crash_image], table->hook_crash_shutdown); /* anything but null */
	state->entered = 0;
}

/* ---- after it ---- */

static void panicking_registers(const struct crash_table *table, const struct state *state, struct pt_regs *regs)
{
	const u64 *stack = at(state->rsp);

	if (hook_entry(state) == HOOK_CRASH_SHUTDOWN && mapped(table, state->rdi, sizeof(*regs))) {
		memcpy(regs, at(state->rdi), sizeof(*regs));
		return;
	}
	memset(regs, 0, sizeof(*regs));
	regs->r15 = state->r15;
	regs->r14 = state->r14;
	regs->r13 = state->r13;
	regs->r12 = state->r12;
	regs->bp = state->rbp;
	regs->bx = state->rbx;
	regs->di = state->rdi;
	/* The hook's frame: saved RFLAGS, HOOK_*, return into the hook, return into the kernel. */
	regs->flags = stack[0];
	regs->ip = stack[3];
	regs->sp = state->rsp + 32;
	__asm__ volatile("mov %%cs, %0" : "=r"(regs->cs));
	regs->ss = 0x18;
}

/* Interrupt hardware as kdump leaves it; research in docs/design.md, "Quiescing". */
static void quiesce(const struct crash_table *table, const struct state *state, struct pt_regs *regs)
{
	if (state->cr4 & (CR4_CET | CR4_LASS))
		leave_vmx();
	if (kernel_value(table, KSYM_crash_notes, 8)) {
		call(table, state, KSYM_machine_crash_shutdown, (usize)regs);
		/* __crash_kexec() has done this when the notifiers ran first. */
		if (hook_entry(state) != HOOK_CRASH_SHUTDOWN && kernel_value(table, KSYM_vmcoreinfo_note, 8))
			call(table, state, KSYM_crash_save_vmcoreinfo, 0);
	} else if (!kernel_value(table, KSYM_early_boot_irqs_disabled, 1)) {
		call(table, state, KSYM_ioapic_zap_locks, 0);
		call(table, state, KSYM_clear_IO_APIC, 0);
		call(table, state, KSYM_lapic_shutdown, 0);
		call(table, state, KSYM_restore_boot_irq_mode, 0);
		call(table, state, KSYM_hpet_disable, 0);
	}
}

static void own_tables(const struct crash_table *table)
{
	u64 idt = table->region + PLACE_IDT, handler = (usize)on_exception;
	int i;

	for (i = 0; i < 256; i++) {
		u64 *gate = at(idt + 16 * (u64)i);

		gate[0] = (handler & 0xffff) | 0x8ull << 16 | 0x8eull << 40 | (handler >> 16 & 0xffff) << 48;
		gate[1] = handler >> 32;
	}
	use_own_tables(idt);
}

/* One more line of VMCOREINFO behind those of the build. text ends in '='. */
static void append_info(char *note, const char *text, u64 value, int hexadecimal)
{
	u32 *header = (u32 *)note;
	struct line line = { .used = 0 };

	add_text(&line, text);
	if (hexadecimal) {
		add_hexadecimal(&line, value);
	} else {
		if ((s64)value < 0)
			add_text(&line, "-");
		add_decimal(&line, (s64)value < 0 ? 0 - value : value);
	}
	add_text(&line, "\n");
	memcpy(note + 24 + header[1], line.text, line.used);
	header[1] += line.used;
}

/*
 * VMCOREINFO: the kernel's own note once it exists, else the build's, completed. Gives its size, bytes.
 * Note layout (ELF spec, "Note Section"): u32 namesz, descsz, type, then name and desc, each padded to 4 bytes.
 */
static u64 place_vmcoreinfo(const struct crash_table *table, char *notes)
{
	u64 own = kernel_value(table, KSYM_vmcoreinfo_note, 8), info, size;
	u64 bits = table->level5 ? 52 : 46; /* arch/x86/include/asm/sparsemem.h */
	u32 *header = at(own);

	if (own && mapped(table, own, 24) && header[0] == 11 && header[1] && header[1] < 65536 &&
	    mapped(table, own, 24 + header[1])) {
		size = 24 + ((header[1] + 3ull) & ~3ull);
		memset(notes, 0, table->notes_size);
		memcpy(notes, header, 24 + header[1]);
		return size;
	}
	info = kernel_value(table, KSYM_mem_section, 8);
	if (info)
		append_info(notes, "SYMBOL(mem_section)=", info, 1);
	if (table->sections_per_root)
		append_info(notes, "LENGTH(mem_section)=", (1ull << (bits - 27)) / table->sections_per_root, 0);
	info = kernel_value(table, KSYM_vmalloc_base, 8);
	if (info)
		append_info(notes, "NUMBER(VMALLOC_START)=0x", info, 1);
	info = kernel_value(table, KSYM_vmemmap_base, 8);
	if (info)
		append_info(notes, "SYMBOL(vmemmap)=", info, 1);
	append_info(notes, "NUMBER(phys_base)=", table->phys_base, 0);
	append_info(notes, "NUMBER(pgtable_l5_enabled)=", table->level5, 0);
	append_info(notes, "NUMBER(MAX_PHYSMEM_BITS)=", bits, 0);
	append_info(notes, "KERNELOFFSET=", table->kernel_delta, 1);
	append_info(notes, "NUMBER(sme_mask)=", 0, 0);
	return 24 + ((((u32 *)notes)[1] + 3ull) & ~3ull);
}

/* PID of the task that runs on this CPU; 0, as of the idle task, when it cannot be read. */
static u32 current_pid(const struct crash_table *table)
{
	u32 low, high;
	u64 task;

	if (!table->current_task)
		return 0;
	__asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(0xc0000101)); /* MSR_GS_BASE */
	task = kernel_value_at(table, ((u64)high << 32 | low) + table->current_task, 8);
	return task ? (u32)kernel_value_at(table, task + table->task_pid, 4) : 0;
}

static u64 put_prstatus(const struct crash_table *table, char *note, const struct pt_regs *regs)
{
	u32 *header = (u32 *)note, pid = current_pid(table);
	u64 *pr_reg = (u64 *)(note + 20 + PR_REG);

	memset(note, 0, PRSTATUS_NOTE_SIZE);
	header[0] = 5;
	header[1] = PRSTATUS_SIZE;
	header[2] = NT_PRSTATUS;
	memcpy(note + 12, "CORE", 5);
	memcpy(note + 20 + PR_PID, &pid, sizeof(pid));
	memcpy(pr_reg, regs, sizeof(*regs)); /* user_regs_struct begins like pt_regs */
	return PRSTATUS_NOTE_SIZE;
}

/* NT_PRSTATUS of every CPU from crash_notes, or of the panicking CPU alone before it exists. */
static u64 place_prstatus(const struct crash_table *table, char *notes, const struct pt_regs *regs)
{
	u64 crash_notes = kernel_value(table, KSYM_crash_notes, 8), cpus, used = 0, i;
	const u64 *offsets = at(table->symbol[KSYM___per_cpu_offset]);

	cpus = MIN(kernel_value(table, KSYM_nr_cpu_ids, 4), (u64)MAX_CPUS);
	if (!crash_notes || !offsets || !mapped(table, (usize)offsets, 8 * cpus))
		return put_prstatus(table, notes, regs);
	for (i = 0; i < cpus; i++) {
		const u32 *note = at(crash_notes + offsets[i]);

		if (!mapped(table, (usize)note, PRSTATUS_NOTE_SIZE) || note[0] != 5 || note[1] != PRSTATUS_SIZE ||
		    note[2] != NT_PRSTATUS)
			continue;
		memcpy(notes + used, note, PRSTATUS_NOTE_SIZE);
		used += PRSTATUS_NOTE_SIZE;
	}
	return used ? used : put_prstatus(table, notes, regs);
}

/* ELF core header as fs/proc/vmcore.c takes it: p_offset is a physical address, headers follow the ELF header. */
static void place_elf_headers(const struct crash_table *table, u64 notes_size)
{
	struct elf_header *elf = at(table->region + PLACE_ELFCOREHDR);
	struct program_header *p = (struct program_header *)(elf + 1);
	u64 direct_map = kernel_value(table, KSYM_page_offset_base, 8);
	u32 i;

	if (!direct_map)
		direct_map = PAGE_OFFSET_BASE_L4;
	*elf = (struct elf_header){ .ident = { 0x7f, 'E', 'L', 'F', 2, 1, 1 }, .type = 4 /* ET_CORE */,
				    .machine = 62 /* EM_X86_64 */, .version = 1, .phoff = sizeof(*elf),
				    .ehsize = sizeof(*elf), .phentsize = sizeof(*p) };
	*p++ = (struct program_header){ .type = 4 /* PT_NOTE */, .offset = table->region + PLACE_NOTES,
					.paddr = table->region + PLACE_NOTES, .filesz = notes_size,
					.memsz = notes_size };
	*p++ = (struct program_header){ .type = 1 /* PT_LOAD */, .flags = 7, .offset = table->text_physical,
					.vaddr = table->text_virtual, .paddr = table->text_physical,
					.filesz = table->kernel_size, .memsz = table->kernel_size };
	for (i = 0; i < table->ram_count; i++) {
		struct ram_range ram = table->ram[i];
		u64 offset = ram.start;

		if (ram.start < table->backup_size) {
			ram.size = MIN(ram.size, table->backup_size - ram.start);
			offset = table->region + PLACE_BACKUP + ram.start;
		}
		*p++ = (struct program_header){ .type = 1, .flags = 7, .offset = offset,
						.vaddr = direct_map + ram.start, .paddr = ram.start,
						.filesz = ram.size, .memsz = ram.size };
	}
	elf->phnum = (u16)(p - (struct program_header *)(elf + 1));
}

/* What the primary's panic= says: reset at once, after a time, or never. Port 0x80 takes about a microsecond. */
static void obey_panic_timeout(s64 timeout)
{
	s64 wait = timeout > 0 ? timeout * 1000000 : 0;

	while (timeout == 0)
		__asm__ volatile("hlt");
	while (wait--)
		inb(0x80);
	outb(0x06, 0xcf9);
	outb(0xfe, 0x64);
	for (;;)
		__asm__ volatile("hlt");
}

void exception(void)
{
	u64 region = (usize)on_exception & ~0xffffull;
	const struct state *state = at(region + PLACE_STATE);

	tell(table_of(region), "saveoops: E31 not captured: exception in the crash stub", "");
	obey_panic_timeout(state->panic_timeout);
}

void crash_main(u64 region)
{
	struct crash_table *table = table_of(region);
	struct state *state = at(region + PLACE_STATE);
	char *notes = at(region + PLACE_NOTES);
	struct pt_regs regs;
	u64 used;

	map_dead_kernel(table, state);
	state->panic_timeout = (int)kernel_value(table, KSYM_panic_timeout, 4);
	if (notifiers_first(table, state)) {
		if (all_intact(table))
			come_back_after_notifiers(table, state);
		return;
	}
	unhook(table, state);
	stop_other_cpus(table, state);
	if (!all_intact(table)) {
		if (hook_entry(state) == HOOK_CRASH_SHUTDOWN)
			obey_panic_timeout(state->panic_timeout);
		return;
	}

	/* point of no return */
	panicking_registers(table, state, &regs);
	quiesce(table, state, &regs);
	own_tables(table);
	if (table->flags & PLAN_RESET_PIC)
		reset_pic();
	if (table->flags & PLAN_RESET_VGA)
		reset_vga(table);
	used = place_vmcoreinfo(table, notes);
	used += place_prstatus(table, notes + used, &regs);
	place_elf_headers(table, used + 64); /* zeroes behind the last note end the reader's walk */
	memcpy(at(region + PLACE_BACKUP), at(0), table->backup_size);
	tell(table, "saveoops: kernel panic: starting the crash kernel", "");
	enter_crash_kernel(table->code32_start, region + PLACE_BOOT_PARAMS);
}
