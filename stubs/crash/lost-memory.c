/* After a reset: how much of the dead kernel's memory is still what it was, as far as that can be known. */
#include "lost-memory.h"
#include "xxh32.h"

#define ADDRESS_BITS 0x000ffffffffff000ull
#define PRESENT 1ull
#define LARGE 0x80ull
#define ENTRIES 512
/* For 2 MiB pages 64 TiB of RAM; tables that lead around in circles end here. */
#define MOST_TABLES 65536
#define NOWHERE (~0ull)

/* Data that a kernel never changes, page by page, against what the entry stub had put there. */
static struct held check_constants(const struct crash_table *table)
{
	const u32 *sums = at(table->region + PLACE_PAGE_SUMS);
	struct held held = { 0, 0 };
	u64 pages = MIN(table->constant_pages, (PLACE_PAGE_SUMS_END - PLACE_PAGE_SUMS) / sizeof(*sums));

	for (; held.checked < pages; held.checked++) {
		const volatile void *page = window(table, table->constants + held.checked * PAGE, WINDOW_RAM);

		if (xxh32((const void *)page, PAGE) != sums[held.checked])
			held.lost++;
	}
	return held;
}

static u64 end_of_ram(const struct crash_table *table)
{
	u64 end = 0;
	u32 i;

	for (i = 0; i < table->ram_count; i++)
		end = MAX(end, table->ram[i].start + table->ram[i].size);
	return end;
}

static int is_ram(const struct crash_table *table, u64 physical)
{
	u32 i;

	for (i = 0; i < table->ram_count; i++)
		if (physical - table->ram[i].start < table->ram[i].size)
			return 1;
	return 0;
}

struct walk {
	const struct crash_table *table;
	u64 base;       /* of the direct map, without the bits that only say that an address is the kernel's */
	u64 end;        /* of RAM */
	struct held held;
};

/* In the direct map, of what an entry stands for; NOWHERE: it is none of it. */
static u64 offset_of(const struct walk *walk, u64 address, u64 span)
{
	if (address + span <= walk->base || address >= walk->base + walk->end)
		return NOWHERE;
	return address > walk->base ? address - walk->base : 0;
}

/* Every entry of a sound table of the direct map leads to RAM: to a table, or to the very page that belongs there. */
static int is_sound(const struct walk *walk, u64 page, int level, u64 address)
{
	u64 span = 1ull << (12 + 9 * level), i;

	for (i = 0; i < ENTRIES; i++) {
		u64 offset = offset_of(walk, address + i * span, span), entry = physical_word(walk->table, page + 8 * i);

		if (offset == NOWHERE || !(entry & PRESENT))
			continue;
		if (level && !((entry & LARGE) && level < 3)) {
			if (!is_ram(walk->table, entry & ADDRESS_BITS))
				return 0;
		} else if ((entry & ADDRESS_BITS & ~(span - 1)) != offset) {
			return 0;
		}
	}
	return 1;
}

static void check_table(struct walk *walk, u64 page, int level, u64 address)
{
	u64 span = 1ull << (12 + 9 * level), i;

	walk->held.checked++;
	if (!is_sound(walk, page, level, address)) {
		walk->held.lost++;
		return;
	}
	for (i = 0; i < ENTRIES && level && walk->held.checked < MOST_TABLES; i++) {
		u64 entry = physical_word(walk->table, page + 8 * i);

		if (offset_of(walk, address + i * span, span) != NOWHERE && (entry & PRESENT) && !((entry & LARGE) && level < 3))
			check_table(walk, entry & ADDRESS_BITS, level - 1, address + i * span);
	}
}

/* The tables of the direct map, by what they must say. A kernel that died before it had made any has the top one. */
static struct held check_tables(const struct crash_table *table)
{
	int top = table->level5 ? 4 : 3;
	u64 root = table->symbol[KSYM_init_top_pgt] - table->text_virtual;
	struct walk walk = { .table = table, .end = end_of_ram(table) };

	walk.base = table->direct_map & ((1ull << (12 + 9 * (top + 1))) - 1);
	if (table->symbol[KSYM_init_top_pgt] && root < table->kernel_size)
		check_table(&walk, table->text_physical + root, top, 0);
	return walk.held;
}

void check_memory(const struct crash_table *table, struct held *constants, struct held *tables)
{
	*constants = check_constants(table);
	*tables = check_tables(table);
}
