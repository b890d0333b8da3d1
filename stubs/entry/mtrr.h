/* Which RAM is slow: MTRRs (Intel SDM vol. 3, "Memory Type Range Registers"). */
#ifndef SAVEOOPS_MTRR_H
#define SAVEOOPS_MTRR_H
#include "memory-map.h"

#define RAM_UNCACHED 0x100 /* a type of our own, in maps of free RAM only */

/*
 * RAM of the map that is not write-back by the MTRRs becomes RAM_UNCACHED. read_msr gives a model-specific register;
 * default_limit is the address below which the default type counts.
 */
void mark_uncached(struct memory_map *map, u64 (*read_msr)(u32 msr), u64 default_limit);

#endif
