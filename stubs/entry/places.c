/* Where the crash region and the primary kernel go: free RAM, clear of what the loader placed. */
#include "entry.h"

/* RAM that may be used: conventional memory of the EFI map, or what E820 says. */
static u32 ram_count(void)
{
	return state.usable_count ? state.usable_count : state.boot_params->e820_entries;
}

static struct e820_entry ram_entry(u32 i)
{
	if (state.usable_count)
		return (struct e820_entry){ state.usable[i].start, state.usable[i].end - state.usable[i].start,
					    E820_RAM };
	return state.boot_params->e820[i];
}

void avoid(u64 start, u64 size)
{
	if (size && state.avoid_count < MAX_AVOID)
		state.avoid[state.avoid_count++] = (struct range){ start, start + size };
}

/* The avoided range that overlaps [start, end), or NULL. */
static const struct range *hit(u64 start, u64 end)
{
	u32 i;

	for (i = 0; i < state.avoid_count; i++)
		if (state.avoid[i].start < end && start < state.avoid[i].end)
			return &state.avoid[i];
	return NULL;
}

void collect_avoided(u64 image_size)
{
	struct boot_params *bp = state.boot_params;
	u64 node = bp->setup_data, count = 0;

	avoid(image_base, image_size);
	avoid(bp->ramdisk_image | (u64)bp->ext_ramdisk_image << 32,
	      bp->ramdisk_size | (u64)bp->ext_ramdisk_size << 32);
	avoid((usize)bp, PAGE);
	if (command_line())
		avoid((usize)command_line(), length_of(command_line()) + 1);
	for (; node && node < 4 * GIB && count < 8; count++) {
		const struct setup_data *data = at(node);

		avoid(node, sizeof(*data) + data->len);
		node = data->next;
	}
}

/*
 * Highest 2 MiB-aligned place below 4 GiB (the crash kernel is entered in 32-bit mode) for the region, with one page
 * below it left to the primary for the status node. 0: none.
 */
u64 place_region(u64 size)
{
	u64 best = 0;
	u32 i;

	for (i = 0; i < ram_count(); i++) {
		const struct e820_entry entry = ram_entry(i), *e = &entry;
		u64 low = MAX(e->start, MIB), top = MIN(e->start + e->size, 4 * GIB);
		const struct range *obstacle;

		if (e->type != E820_RAM)
			continue;
		while (top > low && top - low >= size + LARGE_PAGE + PAGE) {
			u64 start = (top - size) & ~(LARGE_PAGE - 1);

			if (start - PAGE < low)
				break;
			obstacle = hit(start - PAGE, start + size);
			if (!obstacle) {
				best = MAX(best, start);
				break;
			}
			top = obstacle->start;
		}
	}
	return best;
}

/* Random bits for KASLR, from the sources that the kernel's own decompressor uses. */
static u64 random_bits(void)
{
	const u64 *words = (const u64 *)state.boot_params;
	u64 hash = 0, raw;
	u32 a, b, c, d, i;

	for (i = 0; i < PAGE / 8; i++)
		hash = ((hash << 57) | (hash >> 7)) ^ words[i];
	cpuid(1, 0, &a, &b, &c, &d);
	if (c & (1u << 30)) {
		u8 ok;

		__asm__ volatile("rdrand %0\n\tsetc %1" : "=r"(raw), "=qm"(ok));
		if (ok)
			hash ^= raw;
	}
	if (d & (1u << 4)) {
		hash ^= rdtsc();
	} else {
		outb(0xc2, 0x43); /* 8254 read-back of counter 0 */
		inb(0x40);
		hash ^= inb(0x40) | (u64)inb(0x40) << 8;
	}
	hash *= 0x9e3779b97f4a7c15ull;
	hash ^= hash >> 32;
	hash *= 0xd6e8feb86659fd93ull;
	return hash ^ (hash >> 29);
}

/* Walks every aligned place for the primary kernel. Gives their number, or, with pick, the address of that one. */
static u64 kernel_places(u64 limit, u64 pick)
{
	u64 size = plan.kernel_size, step = plan.kernel_alignment, count = 0;
	u32 i;

	for (i = 0; i < ram_count(); i++) {
		const struct e820_entry entry = ram_entry(i), *e = &entry;
		u64 end = MIN(e->start + e->size, limit);
		u64 start = (MAX(e->start, plan.load_physical_addr) + step - 1) & ~(step - 1);

		if (e->type != E820_RAM)
			continue;
		while (start + size <= end) {
			const struct range *obstacle = hit(start, start + size);

			if (obstacle) {
				start = (obstacle->end + step - 1) & ~(step - 1);
				continue;
			}
			if (count++ == pick)
				return start;
			start += step;
		}
	}
	return count;
}

static int fits_in_ram(u64 start, u64 size)
{
	u32 i;

	for (i = 0; i < ram_count(); i++) {
		const struct e820_entry e = ram_entry(i);

		if (e.type == E820_RAM && e.start <= start && start + size <= e.start + e.size)
			return 1;
	}
	return 0;
}

/* Chooses physical and virtual address of the primary as its own decompressor would. 0: no place. */
int place_kernel(void)
{
	u64 limit = MAPPED_LIMIT, places;
	const char *mem = find_option("mem=");
	int random = (plan.flags & PLAN_KASLR) && !find_option("nokaslr");

	state.output = plan.load_physical_addr;
	state.delta = 0;
	if (random) {
		state.boot_params->loadflags |= LOADFLAG_KASLR;
		if (mem && parse_size(mem))
			limit = MIN(limit, parse_size(mem));
		/* Like the kernel with many memmap= options: no physical randomisation around ranges not understood. */
		places = find_option("memmap=") ? 0 : kernel_places(limit, ~0ull);
		if (places)
			state.output = kernel_places(limit, random_bits() % places);
		places = 1 + (plan.kernel_image_size - plan.load_physical_addr - plan.kernel_size) / plan.kernel_alignment;
		state.delta = random_bits() % places * plan.kernel_alignment;
	}
	if (state.usable_count && !random && kernel_places(limit, ~0ull)) /* nokaslr: 16 MiB may be firmware's */
		state.output = kernel_places(limit, 0);
	return fits_in_ram(state.output, plan.kernel_size) && !hit(state.output, state.output + plan.kernel_size);
}
