/*
 * The stub's own page tables: the first 4 GiB, as entry32 has made them, and GiBs above that hold something to read or the primary's
 * place, wherever they lie: RAM that nothing is done with needs no map. The copy of the stub builds them anew, for tables in the
 * image are gone once the primary lies there.
 */
#include "entry.h"

#define PRESENT_WRITABLE 3
#define LARGE 0x80

/* The table that an entry leads to, an empty one if it led nowhere. NULL: there are no more. */
static u64 *table_of(u64 *entry)
{
	u64 *table;

	if (*entry)
		return at(*entry & ~(PAGE - 1));
	if (state.extra_count == EXTRA_TABLES)
		return NULL;
	table = &extra_tables[512 * state.extra_count++];
	memset(table, 0, PAGE);
	*entry = (usize)table | PRESENT_WRITABLE;
	return table;
}

/* Gives 0, or -1 when tables are lacking. */
static int map_gib(u64 gib)
{
	u64 *pdpt = table_of(&boot_pml4[gib / 512]), *pd;
	u32 i;

	if (!pdpt)
		return -1;
	if (pdpt[gib % 512])
		return 0;
	if (has_gib_pages()) {
		pdpt[gib % 512] = gib * GIB | LARGE | PRESENT_WRITABLE;
		return 0;
	}
	pd = table_of(&pdpt[gib % 512]);
	if (!pd)
		return -1;
	for (i = 0; i < 512; i++)
		pd[i] = (gib * GIB + i * LARGE_PAGE) | LARGE | PRESENT_WRITABLE;
	return 0;
}

static int was_reached(u64 gib)
{
	u32 i;

	for (i = 0; i < state.reached_count; i++)
		if (state.reached[i] == gib)
			return 1;
	return 0;
}

void *reach(u64 start, u64 size)
{
	u64 gib, limit = address_limit();

	if (!start || size > limit || start > limit - size)
		return NULL;
	for (gib = start / GIB; gib * GIB < start + size; gib++) {
		if (gib < 4 || was_reached(gib))
			continue;
		if (state.reached_count == EXTRA_GIBS || map_gib(gib))
			return NULL;
		state.reached[state.reached_count++] = gib;
	}
	return at(start);
}

/* In the copy: what was reached, and where the primary will be. There is room: no kernel is larger than a GiB (extra-gibs.h). */
void build_identity_map(void)
{
	u64 gib;
	u32 i;

	memset(boot_pml4, 0, PAGE);
	memset(boot_pdpt, 0, PAGE);
	state.extra_count = 0;
	boot_pml4[0] = (usize)boot_pdpt | PRESENT_WRITABLE;
	boot_pml5[0] = (usize)boot_pml4 | PRESENT_WRITABLE;
	for (i = 0; i < 4; i++)
		boot_pdpt[i] = (usize)&boot_pd[512 * i] | PRESENT_WRITABLE;
	for (i = 0; i < 2048; i++)
		boot_pd[i] = i * LARGE_PAGE | LARGE | PRESENT_WRITABLE;
	for (i = 0; i < state.reached_count; i++)
		map_gib(state.reached[i]);
	for (gib = state.output / GIB; gib * GIB < state.output + plan.kernel_size; gib++)
		map_gib(gib);
}
