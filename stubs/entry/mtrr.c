/*
 * Old boards leave the top of RAM uncached, where they have too few MTRRs. The kernel trims it off its map
 * (mtrr_trim_uncached_memory()), and so would the crash kernel: its whole region. Fixed MTRRs are for the first MiB, where
 * nothing is placed.
 */
#include "mtrr.h"
#include "boot-params.h"

#define MTRR_CAP 0xfe
#define MTRR_DEF_TYPE 0x2ff
#define MTRR_BASE(i) (0x200 + 2 * (i))
#define MTRR_MASK(i) (0x201 + 2 * (i))
#define ENABLED (1u << 11)      /* in MTRR_DEF_TYPE, and, as "valid", in MTRR_MASK */
#define WRITE_BACK 6
#define ADDRESS_BITS 0x000ffffffffff000ull

struct variable_range {
	u64 start;
	u64 size;       /* 0: not in use */
	u32 type;
};

static struct variable_range variable_range(u64 (*read_msr)(u32), u32 i)
{
	u64 base = read_msr(MTRR_BASE(i)), mask = read_msr(MTRR_MASK(i));

	if (!(mask & ENABLED) || !(mask & ADDRESS_BITS))
		return (struct variable_range){ 0, 0, 0 };
	/* Like the kernel: all above the lowest bit counts as set, whatever the width that firmware believes in. */
	mask &= ADDRESS_BITS;
	return (struct variable_range){ base & ADDRESS_BITS, mask & -mask, base & 0xff };
}

void mark_uncached(struct memory_map *map, u64 (*read_msr)(u32), u64 default_limit)
{
	u64 default_type = read_msr(MTRR_DEF_TYPE);
	u32 count = read_msr(MTRR_CAP) & 0xff, i, cached = 0;

	/* Off: all memory is alike, and there is nothing to choose. */
	if (!(default_type & ENABLED))
		return;
	if ((default_type & 0xff) != WRITE_BACK) {
		for (i = 0; i < count; i++) {
			struct variable_range range = variable_range(read_msr, i);

			cached |= range.size && range.type == WRITE_BACK;
		}
		/* Nothing is cached: registers of a hypervisor that means nothing by them. The kernel thinks so, too. */
		if (!cached)
			return;
		map_change(map, 0, default_limit, E820_RAM, RAM_UNCACHED);
		for (i = 0; i < count; i++) {
			struct variable_range range = variable_range(read_msr, i);

			if (range.size && range.type == WRITE_BACK)
				map_change(map, range.start, range.size, RAM_UNCACHED, E820_RAM);
		}
	}
	/* Where ranges overlap, write-back never wins. */
	for (i = 0; i < count; i++) {
		struct variable_range range = variable_range(read_msr, i);

		if (range.size && range.type != WRITE_BACK)
			map_change(map, range.start, range.size, E820_RAM, RAM_UNCACHED);
	}
}
