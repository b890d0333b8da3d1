/* What hook and crash stub need, laid out in the crash region; then the hook's slots are filled. */
#include "crash-table.h"
#include "efi.h"
#include "frame-buffer.h"
#include "hook-slots.h"
#include "messages.h"
#include "region-sum.h"
#include "sha256.h"
#include "stub-tables.h"
#include "text-mode.h"
#include "xxh32.h"

/* The bit of a physical address that means encrypted to a processor with AMD SME (CPUID 0x8000001f); 0: none. */
static u64 encryption_bit(void)
{
	u32 a, b, c, d;

	cpuid(0x80000000, 0, &a, &b, &c, &d);
	if (a < 0x8000001f)
		return 0;
	cpuid(0x8000001f, 0, &a, &b, &c, &d);
	return a & 1 ? 1ull << (b & 63) : 0;
}

static void check_later(struct crash_table *table, const char *name, u64 start, u64 size, const u8 *digest)
{
	struct checked_range *range = &table->checked[table->checked_count++];
	usize i;

	range->start = start;
	range->size = size;
	for (i = 0; i < sizeof(range->name) - 1 && name[i]; i++)
		range->name[i] = name[i];
	if (digest)
		memcpy(range->sha256, digest, 32);
	else
		sha256(at(start), size, range->sha256);
}

/*
 * Finishes the crash kernel's boot_params and command line with what only this machine knows. -1 when the words for
 * Saveoops on the primary's command line found no room on the crash kernel's.
 */
static int finish_crash_parameters(void)
{
	struct boot_params *bp = at(state.region + PLACE_BOOT_PARAMS);
	char *cmdline = at(state.region + PLACE_CMDLINE);
	struct line address = { .used = 0 };
	usize n = length_of(cmdline), limit = MIN(bp->cmdline_size, PLACE_FONT - PLACE_CMDLINE - 1);

	memcpy(bp->screen_info, state.boot_params->screen_info, sizeof(bp->screen_info));
	if (plan.flags & PLAN_RESET_VGA)
		describe_text_mode(bp->screen_info);
	bp->acpi_rsdp_addr = state.rsdp;
	bp->code32_start = (u32)(state.region + plan.part[PART_CRASH_KERNEL].place);
	bp->ramdisk_image = (u32)(state.region + plan.part[PART_CRASH_INITRD].place);
	bp->ramdisk_size = plan.part[PART_CRASH_INITRD].size;
	bp->cmd_line_ptr = (u32)(state.region + PLACE_CMDLINE);
	add_text(&address, " elfcorehdr=");
	add_decimal(&address, (state.region + PLACE_ELFCOREHDR) / 1024);
	add_text(&address, "K");
	/* The primary is locked down then (CONFIG_LOCK_DOWN_IN_EFI_SECURE_BOOT), and this kernel does not know of firmware. */
	if (state.boot_params->secure_boot == SECURE_BOOT_ENABLED)
		add_text(&address, " lockdown=integrity");
	memcpy(cmdline + n, address.text, address.used + 1);
	n += address.used;
	/* Before the primary's words: what Syslinux or a person says there counts. */
	if (efi.boot_partition.used) {
		struct line boot = { .used = 0 };

		add_text(&boot, " saveoops.boot=");
		add_text(&boot, efi.boot_partition.text);
		if (n + boot.used > limit)
			return -1;
		memcpy(cmdline + n, boot.text, boot.used + 1);
	}
	return append_words(cmdline, limit, "saveoops.");
}

/* KASLR moves every SYMBOL() of the synthesised VMCOREINFO: sixteen hexadecimal digits each. */
static void move_symbols(void)
{
	const u32 *fixup = part_bytes(PART_FIXUPS);
	char *notes = at(state.region + PLACE_NOTES);
	u32 i, k, count = plan.part[PART_FIXUPS].size / 4;

	for (i = 0; i < count; i++) {
		char *digits = notes + fixup[i];
		u64 value = 0;

		for (k = 0; k < 16; k++)
			value = value << 4 | (u64)(digits[k] <= '9' ? digits[k] - '0' : digits[k] - 'a' + 10);
		value += state.delta;
		for (k = 0; k < 16; k++)
			digits[k] = "0123456789abcdef"[value >> (60 - 4 * k) & 15];
	}
}

/* A link-time virtual address as the running kernel has it; 0 stays 0: absent. */
static u64 moved(u64 address)
{
	return address ? address + state.delta : 0;
}

/* What becomes PT_LOAD segments: the primary's RAM. 0, or -1 when there are too many ranges. */
static int list_ram(struct crash_table *table)
{
	u32 i;

	for (i = 0; i < state.memory.count; i++) {
		const struct span *s = &state.memory.span[i];

		if (s->type != E820_RAM)
			continue;
		if (table->ram_count == MAX_RAM_RANGES)
			return -1;
		table->ram[table->ram_count++] = (struct ram_range){ s->start, s->end - s->start };
	}
	return 0;
}

/* Under UEFI the screen is a frame buffer that firmware has set up: writing VGA registers would only take it away. */
static void refuse_vga_reset(void)
{
	if (!(plan.flags & PLAN_RESET_VGA) || state.boot_params->efi_signature != EFI_SIGNATURE_64)
		return;
	plan.flags &= ~(u32)PLAN_RESET_VGA;
	tell("saveoops: E43 armed; --reset-vga is for machines that BIOS has started: left out\n");
}

/* reboot=force restarts and powers off without the step by which the hook knows an orderly end. Any word counts, as in the kernel. */
static int reboots_by_force(void)
{
	const char *value = NULL, *p;

	while ((value = next_option(value, "reboot=")))
		for (p = value; *p && *p != ' '; p++)
			if (*p == 'f' && (p[-1] == '=' || p[-1] == ','))
				return 1;
	return 0;
}

/* Under UEFI nobody looks before other programs use the memory. */
static int is_captured_after_reset(void)
{
	if (!(plan.flags & PLAN_AFTER_RESET))
		return 0;
	if (state.boot_params->efi_signature == EFI_SIGNATURE_64) {
		tell("saveoops: E44 armed; --after-reset is for machines that BIOS has started: left out\n");
		return 0;
	}
	if (reboots_by_force()) {
		tell("saveoops: E45 armed; --after-reset does not go with reboot=force: left out\n");
		return 0;
	}
	return 1;
}

static void watch_boot(struct crash_table *table)
{
	forget_watchdog_resets();
	if (!plan.boot_watchdog)
		return;
	if (start_boot_watchdog((u32)plan.boot_watchdog)) {
		tell("saveoops: E46 armed; --boot-watchdog finds none in this chipset that may reset the machine: left out\n");
		return;
	}
	table->boot_watchdog = state.boot_watchdog = (u32)plan.boot_watchdog;
}

/* By them the next boot sees how much of this kernel is still what it was. */
static void sum_constants(struct crash_table *table)
{
	u32 *sums = at(state.region + PLACE_PAGE_SUMS);
	u64 i;

	table->constants = state.output + plan.constants;
	table->constant_pages = plan.constant_pages;
	for (i = 0; i < plan.constant_pages; i++)
		sums[i] = xxh32(at(table->constants + i * PAGE), PAGE);
}

/* What tells the next boot that a kernel was running, if this one was reset. */
static void leave_mark(u64 *slots)
{
	struct running *running = at(state.region + PLACE_RUNNING);

	*running = (struct running){ .version = SHARED_VERSION, .region = state.region, .sum = slots[SLOT_SUM / 8],
				     .hook_slots = (usize)slots, .nosave_word = state.output + plan.nosave_word };
	running->xxh32 = xxh32(running, sizeof(*running));
	running->mark = RUNNING_MARK;
	slots[SLOT_MARK / 8] = RUNNING_MARK;
}

/* Builds what the crash stub needs and opens the hook. */
int arm(void)
{
	u64 region = state.region, *slots = at(state.output + plan.hook_slots);
	struct crash_table *table = at(region + PLACE_CRASH_TABLE);
	const u8 *screen = state.boot_params->screen_info;
	int after_reset = is_captured_after_reset();
	u32 i;

	refuse_vga_reset();
	table->magic = CRASH_TABLE_MAGIC;
	table->level5 = state.level5;
	table->region = region;
	table->region_size = plan.region_size;
	table->code32_start = region + plan.part[PART_CRASH_KERNEL].place;
	table->notes_size = plan.part[PART_NOTES].size;
	table->kernel_delta = state.delta;
	table->text_virtual = plan.link_text + state.delta;
	table->text_physical = state.output;
	table->phys_base = state.output - (table->text_virtual - 0xffffffff80000000ull);
	table->kernel_size = plan.text_to_end;
	table->smp_stop = moved(plan.smp_stop);
	table->smp_crash_stop = moved(plan.smp_crash_stop);
	table->crash_shutdown = moved(plan.crash_shutdown);
	table->hook_crash_shutdown = moved(plan.hook_crash_shutdown);
	/* Since 6.15 per-CPU variables have link addresses; before, offsets, which KASLR does not move. */
	table->current_task = (s64)plan.current_task < 0 ? moved(plan.current_task) : plan.current_task;
	table->task_pid = plan.task_pid;
	table->sections_per_root = plan.sections_per_root;
	table->backup_size = state.low_ram_end;
	table->flags = plan.flags;
	if (plan.part[PART_FONT].size == FONT_SIZE) {
		table->font = region + PLACE_FONT;
		table->pixels = frame_buffer_of(screen);
	}
	if (is_text_mode(screen)) {
		table->screen_columns = screen[7];
		table->screen_lines = screen[0xe];
	}
	for (i = 0; i < KSYM_COUNT; i++)
		table->symbol[i] = moved(plan.symbol[i]);
	if (crash_e820(at(region + PLACE_BOOT_PARAMS)) || list_ram(table))
		return refuse(BAD_E820, "the memory map is too long");
	if (finish_crash_parameters())
		tell("saveoops: E11 armed; the saveoops. words do not fit the crash command line\n");
	move_symbols();
	check_later(table, "boot_params", region + PLACE_BOOT_PARAMS, PLACE_ELFCOREHDR - PLACE_BOOT_PARAMS, NULL);
	check_later(table, "crash kernel", region + plan.part[PART_CRASH_KERNEL].place,
		    plan.part[PART_CRASH_KERNEL].size, plan.part[PART_CRASH_KERNEL].sha256);
	check_later(table, "crash initrd", region + plan.part[PART_CRASH_INITRD].place,
		    plan.part[PART_CRASH_INITRD].size, plan.part[PART_CRASH_INITRD].sha256);
	check_later(table, "notes", region + PLACE_NOTES, plan.part[PART_NOTES].size, NULL);
	if (after_reset) {
		sum_constants(table);
		watch_boot(table);
	}
	slots[SLOT_REGION / 8] = region;
	slots[SLOT_FIRST_ENTRY / 8] = write_stub_tables((u32)region, (u32)plan.region_size, state.level5);
	slots[SLOT_ENCRYPTION / 8] = encryption_bit();
	slots[SLOT_WORDS / 8] = SUMMED_WORDS;
	slots[SLOT_SUM / 8] = region_sum((u32)region);
	*(u64 *)at(state.output + plan.nosave_word) = slots[SLOT_SUM / 8];
	if (after_reset)
		leave_mark(slots);
	return 0;
}
