/* Where the crash region and the primary kernel go: free RAM, clear of what the loader placed. */
#include "entry.h"
#include "messages.h"

void avoid(u64 start, u64 size)
{
	if (!size)
		return;
	if (state.avoid_count == MAX_AVOID)
		state.avoid_lost = 1;
	else
		state.avoid[state.avoid_count++] = (struct range){ start, start + size };
}

/* Of the avoided ranges that overlap [start, end) the one that begins first, or NULL. */
static const struct range *hit(u64 start, u64 end)
{
	const struct range *first = NULL;
	u32 i;

	for (i = 0; i < state.avoid_count; i++) {
		const struct range *r = &state.avoid[i];

		if (r->start < end && start < r->end && (!first || r->start < first->start))
			first = r;
	}
	return first;
}

/* What the loader placed. The image is the first of them. */
int collect_avoided(u64 image_size)
{
	struct boot_params *bp = state.boot_params;

	avoid(image_base, image_size);
	avoid(bp->ramdisk_image | (u64)bp->ext_ramdisk_image << 32,
	      bp->ramdisk_size | (u64)bp->ext_ramdisk_size << 32);
	avoid((usize)bp, PAGE);
	if (command_line() && !reach((usize)command_line(), PAGE))
		return refuse(BAD_SETUP_DATA, "the command line cannot be reached");
	if (command_line())
		avoid((usize)command_line(), length_of(command_line()) + 1);
	return avoid_setup_data();
}

/*
 * Highest 2 MiB-aligned place below 4 GiB (the crash kernel is entered in 32-bit mode) for the region, with one page
 * below it left to the primary for the status node. 0: none.
 */
u64 place_region(u64 size)
{
	u64 best = 0;
	u32 i;

	/* A range that is not known may be anywhere. */
	if (state.avoid_lost)
		return 0;
	for (i = 0; i < state.free.count; i++) {
		const struct span *s = &state.free.span[i];
		u64 low = MAX(s->start, MIB), top = MIN(s->end, 4 * GIB);
		const struct range *obstacle;

		if (s->type != E820_RAM)
			continue;
		while (top > low && top - low >= size + PAGE) {
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

/*
 * The aligned places for the primary kernel. Gives their number, or, with pick, the address of that one. Counted gap by gap:
 * a TiB has half a million.
 */
static u64 kernel_places(u64 pick)
{
	u64 size = plan.kernel_size, step = plan.kernel_alignment, limit = address_limit(), count = 0;
	u32 i;

	for (i = 0; i < state.free.count; i++) {
		const struct span *s = &state.free.span[i];
		u64 start = (MAX(s->start, plan.load_physical_addr) + step - 1) & ~(step - 1), top = MIN(s->end, limit);

		if (s->type != E820_RAM)
			continue;
		while (start < top) {
			const struct range *obstacle = hit(start, top);
			u64 end = obstacle ? obstacle->start : top;

			if (end >= start + size) {
				u64 places = (end - start - size) / step + 1;

				if (pick - count < places)
					return start + (pick - count) * step;
				count += places;
			}
			if (!obstacle || obstacle->end >= top)
				break;
			start = (obstacle->end + step - 1) & ~(step - 1);
		}
	}
	return count;
}

static int may_run_at(u64 place)
{
	return map_is(&state.free, place, plan.kernel_size, E820_RAM) && !hit(place, place + plan.kernel_size);
}

/* Chooses physical and virtual address of the primary as its own decompressor would. 0: no place. */
static int place_kernel(void)
{
	u64 places;
	int random = (plan.flags & PLAN_KASLR) && !find_option("nokaslr");

	state.output = plan.load_physical_addr;
	state.delta = 0;
	if (random) {
		state.boot_params->loadflags |= LOADFLAG_KASLR;
		places = kernel_places(~0ull);
		if (places)
			state.output = kernel_places(random_bits() % places);
		places = 1 + (plan.kernel_image_size - plan.load_physical_addr - plan.kernel_size) / plan.kernel_alignment;
		state.delta = random_bits() % places * plan.kernel_alignment;
	} else if ((plan.flags & PLAN_KASLR) && !may_run_at(state.output) && kernel_places(~0ull)) {
		state.output = kernel_places(0); /* firmware may have taken the usual place */
	}
	return may_run_at(state.output);
}

int choose_places(void)
{
	const struct boot_params *bp = state.boot_params;
	u64 initrd = bp->ramdisk_size | (u64)bp->ext_ramdisk_size << 32;
	struct range image = state.avoid[0];
	u32 avoided = state.avoid_count;

	if (state.avoid_lost)
		return refuse(BAD_SETUP_DATA, "the loader has placed more than can be kept in mind");
	state.region = state.given_region ? state.given_region : place_region(plan.region_size);
	if (!state.region)
		return refuse(NO_ROOM_FOR_REGION, "no free RAM below 4 GiB for the crash region");
	state.node = state.region - PAGE;
	if (reserve_region())
		return -1;
	avoid(state.node, PAGE + plan.region_size);
	state.avoid[0] = (struct range){ 0, 0 }; /* the image itself: its parts move away */
	/* A machine that boots plain must boot armed: arming must not take the RAM that the primary needs. */
	if (place_kernel() && map_sum(&state.memory, E820_RAM) >= plan.kernel_size + 4 * initrd + LEAST_WORKING_ROOM)
		return 0;
	release_region();
	state.avoid[0] = image;
	state.avoid_count = avoided;
	return refuse(NO_ROOM_FOR_KERNEL, "no free RAM for the kernel beside the crash region");
}
