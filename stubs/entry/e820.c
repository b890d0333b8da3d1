/* The memory maps: the primary loses the crash region, the crash kernel gets nothing else. */
#include "entry.h"

/* Takes [start, end) out of the primary's RAM as a reserved range. 0, or -1 when the table is full. */
int reserve_in_e820(u64 start, u64 end)
{
	struct boot_params *bp = state.boot_params;
	u32 i, n = bp->e820_entries;

	for (i = 0; i < n; i++) {
		struct e820_entry old = bp->e820[i];
		struct e820_entry new[3];
		u32 k = 0, j;

		if (old.type != E820_RAM || start < old.start || end > old.start + old.size)
			continue;
		if (start > old.start)
			new[k++] = (struct e820_entry){ old.start, start - old.start, E820_RAM };
		new[k++] = (struct e820_entry){ start, end - start, E820_RESERVED };
		if (end < old.start + old.size)
			new[k++] = (struct e820_entry){ end, old.start + old.size - end, E820_RAM };
		if (n + k - 1 > E820_MAX)
			return -1;
		for (j = n; j > i + 1; j--)
			bp->e820[j - 1 + k - 1] = bp->e820[j - 1];
		for (j = 0; j < k; j++)
			bp->e820[i + j] = new[j];
		bp->e820_entries = (u8)(n + k - 1);
		return 0;
	}
	return -1;
}

/* The crash kernel's map: its own part of the region and low memory are RAM, all else that exists is reserved. */
void crash_e820(struct boot_params *bp, u64 region)
{
	u64 usable = region + PLACE_CRASH_KERNEL, end = region + plan.region_size;
	u32 i, n = 0;

	/* Fits: reserve_in_e820() found room for the same entries, the region's being three or two. */
	for (i = 0; i < state.original_entries; i++) {
		struct e820_entry e = state.original[i];
		u64 last = e.start + e.size;

		if (e.start <= region && end <= last) {
			bp->e820[n++] = (struct e820_entry){ e.start, usable - e.start, E820_RESERVED };
			bp->e820[n++] = (struct e820_entry){ usable, end - usable, E820_RAM };
			if (end < last)
				bp->e820[n++] = (struct e820_entry){ end, last - end, E820_RESERVED };
		} else if (e.type != E820_RAM) {
			bp->e820[n++] = e;
		} else if (e.start < state.low_ram_end) {
			bp->e820[n++] = (struct e820_entry){ e.start, MIN(last, state.low_ram_end) - e.start, E820_RAM };
		} else {
			e.type = E820_RESERVED;
			bp->e820[n++] = e;
		}
	}
	bp->e820_entries = (u8)n;
}

/* End of the highest RAM range. */
u64 ram_top(void)
{
	const struct boot_params *bp = state.boot_params;
	u64 top = 0;
	u32 i;

	for (i = 0; i < bp->e820_entries; i++)
		if (bp->e820[i].type == E820_RAM)
			top = MAX(top, bp->e820[i].start + bp->e820[i].size);
	return top;
}

/* Bytes of RAM in the primary's map. */
u64 ram_size(void)
{
	const struct boot_params *bp = state.boot_params;
	u64 sum = 0;
	u32 i;

	for (i = 0; i < bp->e820_entries; i++)
		if (bp->e820[i].type == E820_RAM)
			sum += bp->e820[i].size;
	return sum;
}
