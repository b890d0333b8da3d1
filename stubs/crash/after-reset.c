/* The crash stub after a reset: what the dead kernel's boot has left in the region, made to fit this one. */
#include "after-reset.h"
#include "boot-params.h"
#include "dead-kernel.h"
#include "hook-slots.h"
#include "line.h"
#include "text-mode.h"

static u64 word_at(const struct crash_table *table, u64 physical)
{
	return *(volatile u64 *)((volatile char *)window(table, physical, WINDOW_RAM) + (physical & (PAGE - 1)));
}

int kernel_survived(const struct crash_table *table)
{
	const struct running *running = at(table->region + PLACE_RUNNING);

	return word_at(table, running->hook_slots + SLOT_REGION) == table->region &&
	       word_at(table, running->hook_slots + SLOT_SUM) == running->sum &&
	       word_at(table, running->nosave_word) == running->sum;
}

void read_without_tables(struct crash_table *table, u64 lost)
{
	u64 base = table->symbol[KSYM_page_offset_base];

	table->after_reset = 1;
	table->lost = lost;
	if (base - table->text_virtual < table->kernel_size)
		base = word_at(table, table->text_physical + (base - table->text_virtual));
	table->direct_map = base ? base : PAGE_OFFSET_BASE_L4;
}

void show_on_text_screen(struct crash_table *table)
{
	struct boot_params *bp = at(table->region + PLACE_BOOT_PARAMS);

	describe_text_mode(bp->screen_info);
	table->pixels.base = 0;
	table->screen_columns = TEXT_COLUMNS;
	table->screen_lines = TEXT_LINES;
}

void tell_crash_kernel(const struct crash_table *table)
{
	const struct boot_params *bp = at(table->region + PLACE_BOOT_PARAMS);
	char *cmdline = at(table->region + PLACE_CMDLINE);
	usize n = length_of(cmdline), limit = MIN(bp->cmdline_size, PLACE_FONT - PLACE_CMDLINE - 1);
	struct line word = { .used = 0 };

	add_text(&word, " saveoops.reset=");
	add_decimal(&word, table->lost / 1024);
	/* A line that is full: then the capture is as one of a panic without a message. */
	if (n + word.used <= limit)
		memcpy(cmdline + n, word.text, word.used + 1);
}
