/*
 * The stub's own page tables: the first 4 GiB, as entry32 has made them, and GiBs above that hold something to read or the primary's
 * place. The copy of the stub builds them anew, for tables in the image are gone once the primary lies there.
 */
#include "entry.h"

#define PRESENT_WRITABLE 3
#define LARGE 0x80

static int map_gib(u64 gib)
{
	u32 a, b, c, d, i;
	u64 *pd;

	if (boot_pdpt[gib])
		return 0;
	cpuid(0x80000001, 0, &a, &b, &c, &d);
	if (d & 1u << 26) {
		boot_pdpt[gib] = gib * GIB | LARGE | PRESENT_WRITABLE;
		return 0;
	}
	if (state.extra_gibs == EXTRA_GIBS + 2)
		return -1;
	pd = &extra_pd[512 * state.extra_gibs++];
	for (i = 0; i < 512; i++)
		pd[i] = (gib * GIB + i * LARGE_PAGE) | LARGE | PRESENT_WRITABLE;
	boot_pdpt[gib] = (usize)pd | PRESENT_WRITABLE;
	return 0;
}

void *reach(u64 start, u64 size)
{
	u64 gib;

	if (!start || size > MAPPED_LIMIT || start > MAPPED_LIMIT - size)
		return NULL;
	for (gib = start / GIB; gib * GIB < start + size; gib++) {
		if (gib < 4 || boot_pdpt[gib])
			continue;
		if (state.reached_count == EXTRA_GIBS || map_gib(gib))
			return NULL;
		state.reached[state.reached_count++] = gib;
	}
	return at(start);
}

/* In the copy: what was reached, and where the primary will be. There is room: reach() leaves two for it, and no kernel is larger than a GiB. */
void build_identity_map(void)
{
	u64 gib;
	u32 i;

	memset(boot_pdpt, 0, PAGE);
	state.extra_gibs = 0;
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
	__asm__ volatile("mov %0, %%cr3" : : "r"(boot_pml4) : "memory");
}
