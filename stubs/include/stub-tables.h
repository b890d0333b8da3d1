/* The page tables that the crash stub runs under, in the crash region. */
#ifndef SAVEOOPS_STUB_TABLES_H
#define SAVEOOPS_STUB_TABLES_H
#include "crash-table.h"
#include "plan.h"
#include "types.h"

/* Page-table entries with accessed and dirty set: the hook sums these tables, so the CPU must not write them. */
#define STUB_TABLE 0x63ull
#define STUB_LEAF 0xe3ull
#define STUB_LARGE_PAGE 0x200000u
#define STUB_PAGE 4096u

/*
 * What the crash stub has in the low half: the first 2 MiB and the crash region one to one, and, above 4 GiB, one page
 * as its window on whatever else it reads. Nothing more, so no device is mapped cacheable. In: the region, below 4 GiB, and its
 * size, bytes. The tables' pages are written whole. Gives the top-level entry.
 */
static u64 write_stub_tables(u32 region, u32 size, int level5)
{
	u32 pool = region + PLACE_PAGE_TABLES, i;
	u64 *p4d = (u64 *)(usize)pool, *pdpt = p4d + 512, *window = pdpt + 512, *pd = window + 512;

	_Static_assert(PLACE_PAGE_TABLES_END - PLACE_PAGE_TABLES >= 7 * STUB_PAGE, "room for the stub's page tables");
	for (i = 0; i < 7 * STUB_PAGE / sizeof(*p4d); i++)
		p4d[i] = 0;
	for (i = 0; i < 4; i++)
		pdpt[i] = ((usize)pd + i * STUB_PAGE) | STUB_TABLE;
	pd[0] = STUB_LEAF;
	for (i = 0; i < size; i += STUB_LARGE_PAGE)
		pd[(region + i) / STUB_LARGE_PAGE] = (region + i) | STUB_LEAF;
	pdpt[STUB_WINDOW >> 30] = (usize)window | STUB_TABLE;
	window[0] = (region + PLACE_WINDOW_TABLE) | STUB_TABLE;
	p4d[0] = (usize)pdpt | STUB_TABLE;
	return (usize)(level5 ? p4d : pdpt) | STUB_TABLE;
}

#endif
