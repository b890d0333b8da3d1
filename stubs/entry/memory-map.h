/*
 * A memory map: ranges with a type. Works as the kernel's e820_table does (arch/x86/kernel/e820.c), so that what is read
 * from firmware and command line means here what it means there: a list to which entries are added and in which ranges
 * change their type, and, after map_tidy(), sorted and disjoint ranges.
 */
#ifndef SAVEOOPS_MEMORY_MAP_H
#define SAVEOOPS_MEMORY_MAP_H
#include "types.h"

#define MAP_MAX 512
#define ANY_TYPE 0
#define NOTHING 0
/* Types of our own, in maps of free RAM only: by MTRRs not write-back; by the EFI map not conventional memory. */
#define RAM_UNCACHED 0x100
#define RAM_OF_FIRMWARE 0x101

struct span {
	u64 start;
	u64 end;        /* behind the last byte */
	u32 type;       /* E820_*, or NOTHING */
};

struct memory_map {
	u32 count;
	u32 bad;        /* an entry was lost: there was no room, or its end lies behind the last address */
	struct span span[MAP_MAX];
};

void map_add(struct memory_map *map, u64 start, u64 size, u32 type);

/* Parts of [start, start + size) that are of type from, or ANY_TYPE, become of type to, or NOTHING. */
void map_change(struct memory_map *map, u64 start, u64 size, u32 from, u32 to);

/* Sorted, disjoint, neighbours of one type merged; where entries overlap the highest type wins. Holes stay holes. */
void map_tidy(struct memory_map *map);

/* Of tidy maps: whether all of [start, start + size) is of that type; sum of that type, bytes. */
int map_is(const struct memory_map *map, u64 start, u64 size, u32 type);
u64 map_sum(const struct memory_map *map, u32 type);

#endif
