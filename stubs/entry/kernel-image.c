/* The primary kernel: mapped, decompressed, relocated. The kernel's own decompressor does the same. */
#include "entry.h"
#include "lz4.h"
#include "messages.h"

/* One to one: the first 4 GiB, and the GiBs that the kernel is placed in. */
void build_identity_map(void)
{
	u64 first = state.output / GIB, last = (state.output + plan.kernel_size - 1) / GIB, g;
	u32 i;

	boot_pml4[0] = (usize)boot_pdpt | 3;
	boot_pml5[0] = (usize)boot_pml4 | 3;
	for (i = 0; i < 4; i++)
		boot_pdpt[i] = (usize)&boot_pd[512 * i] | 3;
	for (i = 0; i < 2048; i++)
		boot_pd[i] = i * LARGE_PAGE | 0x83;
	for (g = first; g <= last; g++) {
		if (g < 4)
			continue;
		boot_pdpt[g] = (usize)&extra_pd[512 * (g - first)] | 3;
		for (i = 0; i < 512; i++)
			extra_pd[512 * (g - first) + i] = (g * GIB + i * LARGE_PAGE) | 0x83;
	}
	__asm__ volatile("mov %0, %%cr3" : : "r"(boot_pml4) : "memory");
}

/* The compressed image and its relocation lists, to where the kernel runs. */
int decompress(void)
{
	u64 lists = 4ull * (plan.relocs_64 + plan.relocs_inverse_32 + plan.relocs_32);

	if (!lz4_legacy(at(state.vmlinux), plan.part[PART_VMLINUX].size, at(state.output), plan.flat_size + lists))
		return 0;
	return refuse(BAD_LZ4, "the kernel image does not decompress");
}

/* Moves one word by the KASLR offset; -1 when it lies outside the image. */
static int relocate_list(const s64 sign, const u32 *list, u32 count, int wide)
{
	u64 to_physical = state.output - plan.link_text;
	u32 i;

	for (i = 0; i < count; i++) {
		u64 place = (u64)(s64)(int)list[i] + to_physical;

		if (place < state.output || place + 8 > state.output + plan.flat_size)
			return -1;
		if (wide)
			*(u64 *)at(place) += state.delta;
		else
			*(u32 *)at(place) += (u32)(sign * (s64)state.delta);
	}
	return 0;
}

/* Applies the KASLR offset to the decompressed image. */
int relocate(void)
{
	const u32 *words64 = at(state.output + plan.flat_size);
	const u32 *inverse32 = words64 + plan.relocs_64, *words32 = inverse32 + plan.relocs_inverse_32;

	if (!state.delta || !(relocate_list(1, words64, plan.relocs_64, 1) ||
			      relocate_list(-1, inverse32, plan.relocs_inverse_32, 0) ||
			      relocate_list(1, words32, plan.relocs_32, 0)))
		return 0;
	return refuse(BAD_RELOCATION, "a relocation lies outside the kernel image");
}
