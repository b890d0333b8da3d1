/* The memory maps: the primary loses the crash region, the crash kernel gets nothing else. */
#include "entry.h"
#include "messages.h"

#define LOW_MEMORY_END 0xa0000ull

/* What firmware says: boot_params and its extension, as the kernel reads them. */
static void firmware_map(struct memory_map *map)
{
	const struct boot_params *bp = state.boot_params;
	u32 i;

	map->count = map->bad = 0;
	for (i = 0; i < bp->e820_entries; i++)
		map_add(map, bp->e820[i].start, bp->e820[i].size, bp->e820[i].type);
	map_tidy(map);
	add_e820_extension(map);
	map_tidy(map);
}

/* What the primary makes of it: trim_bios_range() in arch/x86/kernel/setup.c takes RAM out of the video memory's range. */
static void primary_map(struct memory_map *map)
{
	firmware_map(map);
	apply_memory_words(map, command_line());
	map_change(map, LOW_MEMORY_END, MIB - LOW_MEMORY_END, E820_RAM, NOTHING);
	map_tidy(map);
}

/* What of the map's RAM is free for region and kernel, and for a status node. */
static int set_free(const struct memory_map *map)
{
	memcpy(&state.free, map, sizeof(state.free));
	mark_slow_ram(&state.free);
	map_tidy(&state.free);
	if (!mark_firmware_memory(&state.free)) {
		map_tidy(&state.free);
		if (!state.free.bad)
			return 0;
		refuse(BAD_E820, "the memory map is too long");
	}
	state.free.count = 0;
	return -1;
}

int read_memory(void)
{
	const struct boot_params *bp = state.boot_params;
	u32 i;

	/* With fewer than two entries the kernel takes other sources (append_e820_table()). */
	if (bp->e820_entries < 2 || bp->e820_entries > E820_MAX)
		return refuse(BAD_E820, "no usable E820 memory map");
	firmware_map(&state.memory);
	if (state.memory.bad)
		return refuse(BAD_E820, "no usable E820 memory map");
	if (set_free(&state.memory))
		return -1;
	primary_map(&state.memory);
	if (state.memory.bad)
		return refuse(BAD_MEMORY_WORDS, "memmap= on the command line is not understood");
	if (set_free(&state.memory))
		return -1;
	for (i = 0; i < state.memory.count; i++)
		if (state.memory.span[i].type == E820_RAM && state.memory.span[i].start < LOW_MEMORY_END)
			state.low_ram_end = MAX(state.low_ram_end, state.memory.span[i].end);
	return 0;
}

/*
 * Takes the crash region out of the primary's RAM. One more entry does it: the kernel sorts the entries, and where they
 * overlap the highest type wins.
 */
int reserve_region(void)
{
	struct boot_params *bp = state.boot_params;

	state.original_entries = bp->e820_entries;
	if (!state.given_region) {
		if (bp->e820_entries == E820_MAX)
			return refuse(BAD_E820, "the E820 memory map has no free entry");
		bp->e820[bp->e820_entries++] = (struct e820_entry){ state.region, plan.region_size, E820_RESERVED };
		primary_map(&state.memory);
	}
	/* Words may start the map anew, or give RAM back that is reserved. */
	if (map_is(&state.memory, state.region, plan.region_size, E820_RESERVED))
		return 0;
	release_region();
	return refuse(BAD_MEMORY_WORDS, "memmap= on the command line uses the crash region");
}

void release_region(void)
{
	state.boot_params->e820_entries = (u8)state.original_entries;
}

/*
 * The crash kernel's map: its own part of the region and low memory are RAM. All else that exists is reserved, what the command line
 * takes from the primary, too; tables of firmware keep their type, as with kdump. 0, or -1 when it is too long.
 */
int crash_e820(struct boot_params *bp)
{
	static struct memory_map map;
	const struct memory_map *primary = &state.memory;
	u64 usable = state.region + PLACE_CRASH_KERNEL;
	u32 i;

	firmware_map(&map);
	map_change(&map, 0, ~0ull, E820_RAM, E820_RESERVED);
	for (i = 0; i < primary->count; i++)
		if (primary->span[i].type != E820_RAM)
			map_add(&map, primary->span[i].start, primary->span[i].end - primary->span[i].start,
				primary->span[i].type);
	map_tidy(&map);
	for (i = 0; i < map.count; i++)
		if (map.span[i].type != E820_ACPI && map.span[i].type != E820_NVS)
			map.span[i].type = E820_RESERVED;
	for (i = 0; i < primary->count && primary->span[i].start < LOW_MEMORY_END; i++)
		if (primary->span[i].type == E820_RAM)
			map_change(&map, primary->span[i].start, primary->span[i].end - primary->span[i].start, ANY_TYPE,
				   E820_RAM);
	map_change(&map, usable, state.region + plan.region_size - usable, ANY_TYPE, E820_RAM);
	map_tidy(&map);
	if (map.bad || map.count > E820_MAX)
		return -1;
	for (i = 0; i < map.count; i++)
		bp->e820[i] = (struct e820_entry){ map.span[i].start, map.span[i].end - map.span[i].start,
						   map.span[i].type };
	bp->e820_entries = (u8)map.count;
	return 0;
}
