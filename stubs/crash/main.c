/*
 * Crash stub: from the dead kernel's panic() to the crash kernel. Follows crash_table; see stubs/README.md.
 * Everything up to point_of_no_return can still go back to panic(): crash_main() then returns.
 */
#include "after-reset.h"
#include "core-file.h"
#include "draw-line.h"
#include "hook-slots.h"
#include "mask-nmi.h"
#include "reset.h"
#include "say.h"
#include "sha256.h"

DEFINE_MEMORY_FUNCTIONS

#define CR4_VMXE (1ull << 13)
#define CR4_CET (1ull << 23)
#define CR4_LASS (1ull << 27)

#define NMI_VECTOR 2
#define RESET_TIME 100000 /* microseconds */

void leave_vmx(u64 stack, u64 clear);
void triple_fault(void);
void use_own_tables(u64 idt);
void enter_crash_kernel(u64 entry, u64 boot_params);
extern char on_exception[], on_nmi[];

static volatile u8 *page_to_draw(const void *table, u64 physical)
{
	return window(table, physical, WINDOW_DEVICE);
}

static void tell(const struct crash_table *table, const char *text, const char *name)
{
	struct line line = { .used = 0 };

	add_text(&line, text);
	add_text(&line, name);
	add_text(&line, "\n");
	say_serial(line.text);
	say_screen(line.text, (int)table->screen_columns, (int)table->screen_lines);
	if (table->pixels.base)
		draw_line(&table->pixels, at(table->font), line.text, table);
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

static int all_intact(const struct crash_table *table)
{
	u32 i;

	for (i = 0; i < table->checked_count; i++) {
		const struct checked_range *range = &table->checked[i];
		u8 digest[32];

		digest_of(at(range->start), range->size, digest);
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
	state->native_complement = ~state->native_crash_shutdown;
	set_pointer(table->crash_shutdown, table->hook_crash_shutdown);
	set_pointer(table->symbol[KSYM_kexec_crash_image], table->hook_crash_shutdown); /* anything but null */
	state->entered = 0;
}

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

/* So that the kernel's crash path, which is still to come, finds no function there. */
static void forget(const struct crash_table *table, int symbol)
{
	if (kernel_value(table, symbol, 8))
		set_pointer(table->symbol[symbol], 0);
}

/*
 * With CET or LASS on, the kernel must not leave VMX operation itself, as it writes CR4 then. The older pointer is to
 * what clears the VMCSs. Its successor leaves VMX operation, too: with LASS it could not return, so the VMCSs stay loaded
 * and the dump lacks what the processor holds of them.
 */
static void leave_vmx_first(const struct crash_table *table, const struct state *state)
{
	u64 clear = kernel_value(table, KSYM_crash_vmclear_loaded_vmcss, 8);

	if (!(state->cr4 & (CR4_CET | CR4_LASS)) || !(state->cr4 & CR4_VMXE))
		return;
	if (!clear && !(state->cr4 & CR4_LASS))
		clear = kernel_value(table, KSYM_cpu_emergency_virt_callback, 8);
	leave_vmx(state->rsp, clear);
	forget(table, KSYM_crash_vmclear_loaded_vmcss);
	forget(table, KSYM_cpu_emergency_virt_callback);
}

/* Interrupt hardware as kdump leaves it; research in docs/design.md, "Quiescing". */
static void quiesce(const struct crash_table *table, const struct state *state, struct pt_regs *regs)
{
	leave_vmx_first(table, state);
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

/* RAM only: what lies between may be memory that firmware hides or that was found to be bad. Holes stay zero. */
static void back_up_low_memory(const struct crash_table *table)
{
	u32 i;

	for (i = 0; i < table->ram_count; i++) {
		const struct ram_range *ram = &table->ram[i];

		if (ram->start < table->backup_size)
			memcpy(at(table->region + PLACE_BACKUP + ram->start), at(ram->start),
			       MIN(ram->size, table->backup_size - ram->start));
	}
}

static void own_tables(const struct crash_table *table)
{
	u64 idt = table->region + PLACE_IDT;
	int i;

	for (i = 0; i < 256; i++) {
		u64 *gate = at(idt + 16 * (u64)i), handler = (usize)(i == NMI_VECTOR ? on_nmi : on_exception);

		gate[0] = (handler & 0xffff) | 0x8ull << 16 | 0x8eull << 40 | (handler >> 16 & 0xffff) << 48;
		gate[1] = handler >> 32;
	}
	use_own_tables(idt);
}

/* Port 0x80 takes about a microsecond. */
static void wait_microseconds(s64 count)
{
	while (count-- > 0)
		inb(0x80);
}

/* What the primary's panic= says: reset at once, after a time, or never. Each way to reset gets some time to work. */
static void obey_panic_timeout(s64 timeout)
{
	while (timeout == 0)
		__asm__ volatile("hlt");
	wait_microseconds(timeout * 1000000);
	outb(0x02, 0xcf9);
	outb(0x06, 0xcf9);
	wait_microseconds(RESET_TIME);
	outb(0xfe, 0x64);
	wait_microseconds(RESET_TIME);
	triple_fault();
}

/* An exception in here is not said again. */
void exception(void)
{
	u64 region = (usize)on_exception & ~0xffffull;
	struct state *state = at(region + PLACE_STATE);

	if (state->ended++)
		obey_panic_timeout(state->panic_timeout);
	tell(table_of(region), "saveoops: E31 not captured: exception in the crash stub", "");
	obey_panic_timeout(state->panic_timeout);
}

void crash_main(u64 region)
{
	struct crash_table *table = table_of(region);
	struct state *state = at(region + PLACE_STATE);
	struct pt_regs regs;

	memset(at(region + PLACE_WINDOW_TABLE), 0, PAGE);
	state->ended = 0;
	state->panic_timeout = (int)kernel_value(table, KSYM_panic_timeout, 4);
	/* Only the first of two entries leaves it for the second. */
	if (hook_entry(state) != HOOK_CRASH_SHUTDOWN) {
		state->native_crash_shutdown = 0;
	} else if (state->native_complement != ~state->native_crash_shutdown) {
		tell(table, "saveoops: E30 not captured, damaged: ", "the crash stub's state");
		obey_panic_timeout(state->panic_timeout);
	}
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

	/* point of no return: this death is captured now, by this way */
	((struct running *)at(region + PLACE_RUNNING))->mark = 0;
	panicking_registers(table, state, &regs);
	stop_boot_watchdog(table);
	quiesce(table, state, &regs);
	mask_nmi(table);
	own_tables(table);
	if (table->flags & PLAN_RESET_PIC)
		reset_pic();
	if ((table->flags & PLAN_RESET_VGA) || text_is_hidden(table))
		reset_vga(table);
	if (!place_core_file(table, &regs))
		tell(table, "saveoops: E35 the dump lacks memory that was added after the boot", "");
	back_up_low_memory(table);
	tell(table, "saveoops: kernel panic: starting the crash kernel", "");
	enter_crash_kernel(table->code32_start, region + PLACE_BOOT_PARAMS);
}

/*
 * The second entry, after a reset, from reset_entry in crash.S: nothing of the dead kernel runs. The COM32 module has checked all
 * of the region that is used here, and has taken the mark back, so whatever fails ends in a boot as if nothing had been.
 */
void reset_main(u64 region, u64 lost)
{
	struct crash_table *table = table_of(region);
	struct state *state = at(region + PLACE_STATE);

	memset(at(region + PLACE_WINDOW_TABLE), 0, PAGE);
	state->ended = 0;
	state->panic_timeout = -1; /* a reset at once */
	own_tables(table);
	show_on_text_screen(table);
	if (!kernel_survived(table)) {
		tell(table, "saveoops: E36 not captured: the memory of the kernel that was reset is not what it was", "");
		obey_panic_timeout(state->panic_timeout);
	}
	stop_boot_watchdog(table);
	read_without_tables(table, lost);
	place_core_file(table, NULL);
	tell_crash_kernel(table);
	enter_crash_kernel(table->code32_start, region + PLACE_BOOT_PARAMS);
}
