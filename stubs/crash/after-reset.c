/* The crash stub after a reset: what the dead kernel's boot has left in the region, made to fit this one. */
#include "after-reset.h"
#include "boot-params.h"
#include "dead-kernel.h"
#include "hook-slots.h"
#include "line.h"
#include "lost-memory.h"
#include "tco.h"
#include "text-mode.h"

int kernel_survived(const struct crash_table *table)
{
	const struct running *running = at(table->region + PLACE_RUNNING);

	return physical_word(table, running->hook_slots + SLOT_REGION) == table->region &&
	       physical_word(table, running->hook_slots + SLOT_SUM) == running->sum &&
	       physical_word(table, running->nosave_word) == running->sum;
}

void read_without_tables(struct crash_table *table, u64 lost)
{
	u64 base = table->symbol[KSYM_page_offset_base];

	table->after_reset = 1;
	table->lost = lost;
	if (base - table->text_virtual < table->kernel_size)
		base = physical_word(table, table->text_physical + (base - table->text_virtual));
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

/* Its second time-out has reset the machine: the entry stub has cleared what older ones had left. */
static int watchdog_expired(void)
{
	struct tco tco = find_tco();

	return tco.port && (inw((u16)(tco.port + TCO2_STS)) & TCO2_STS_SECOND_TO);
}

void stop_boot_watchdog(const struct crash_table *table)
{
	struct tco tco;

	if (!table->boot_watchdog)
		return;
	tco = find_tco();
	if (tco.port)
		halt_tco(&tco);
}

static void add_held(struct line *line, const char *before, const struct held *held)
{
	add_text(line, before);
	add_decimal(line, held->lost);
	add_text(line, "/");
	add_decimal(line, held->checked);
}

void tell_crash_kernel(const struct crash_table *table)
{
	const struct boot_params *bp = at(table->region + PLACE_BOOT_PARAMS);
	char *cmdline = at(table->region + PLACE_CMDLINE);
	usize n = length_of(cmdline), limit = MIN(bp->cmdline_size, PLACE_FONT - PLACE_CMDLINE - 1);
	struct line word = { .used = 0 };
	struct held constants, tables;

	check_memory(table, &constants, &tables);
	add_text(&word, " saveoops.reset=");
	add_decimal(&word, table->lost / 1024);
	add_held(&word, ",", &constants);
	add_held(&word, ",", &tables);
	if (watchdog_expired())
		add_text(&word, " saveoops.reset-by=watchdog");
	/* A line that is full: then the capture is as one of a panic without a message. */
	if (n + word.used <= limit)
		memcpy(cmdline + n, word.text, word.used + 1);
}
