/* The sum of the crash region's code and tables, as the hook makes it before it goes there. */
#ifndef SAVEOOPS_REGION_SUM_H
#define SAVEOOPS_REGION_SUM_H
#include "hook-slots.h"
#include "plan.h"
#include "types.h"

#define SUMMED_WORDS (PLACE_PAGE_TABLES_END / 8)

/* In: the region, below 4 GiB. */
static u64 region_sum(u32 region)
{
	const u64 *word = (const u64 *)(usize)region;
	u64 sum = 0;
	u32 i;

	for (i = 0; i < SUMMED_WORDS; i++)
		sum = (sum ^ word[i]) * SUM_FACTOR;
	return sum;
}

#endif
