/* After a reset: how much of the dead kernel's memory is still what it was. */
#ifndef SAVEOOPS_LOST_MEMORY_H
#define SAVEOOPS_LOST_MEMORY_H
#include "dead-kernel.h"

/* In pages. */
struct held {
	u64 checked;
	u64 lost;
};

/* Of the image the pages that a kernel never changes, and the page tables of its direct map. read_without_tables() comes first. */
void check_memory(const struct crash_table *table, struct held *constants, struct held *tables);

#endif
