/* The primary kernel: decompressed, edited, relocated. But for the edits the kernel's own decompressor does the same. */
#include "entry.h"
#include "lz4.h"
#include "messages.h"

#define CR0_EM_TS 0xcull
#define CR4_OSFXSR 0x200ull

/* lz4.h copies by XMM0, in which nobody has anything yet. Firmware and loader need not have enabled it. */
static int unpack(void)
{
	u64 cr0, cr4;
	int failed;

	__asm__ volatile("mov %%cr0, %0\n\tmov %%cr4, %1" : "=r"(cr0), "=r"(cr4));
	__asm__ volatile("mov %0, %%cr0\n\tmov %1, %%cr4" : : "r"(cr0 & ~CR0_EM_TS), "r"(cr4 | CR4_OSFXSR) : "memory");
	failed = lz4_legacy(at(state.vmlinux), plan.part[PART_VMLINUX].size, at(state.output), plan.unpacked_size);
	__asm__ volatile("mov %0, %%cr0\n\tmov %1, %%cr4" : : "r"(cr0), "r"(cr4) : "memory");
	return failed;
}

/* A bzImage's payload is an ELF file: each segment goes to its place, all of them down and in order. */
static void place_segments(void)
{
	u64 end = 0;
	int i;

	for (i = 0; i < MAX_MOVES && plan.move[i].size; i++) {
		const struct move *move = &plan.move[i];

		memset(at(state.output + end), 0, move->to - end);
		memcpy(at(state.output + move->to), at(state.output + move->from), move->size);
		end = move->to + move->size;
	}
}

/* To where the kernel runs; its relocation lists stay behind the image. */
int decompress(void)
{
	if (unpack())
		return refuse(BAD_LZ4, "the kernel image does not decompress");
	place_segments();
	return 0;
}

/* Arms the image. Nothing is written over bytes that are not those that the build has found there. */
int apply_edits(void)
{
	const u8 *record = part_bytes(PART_EDITS), *end = record + plan.part[PART_EDITS].size;

	while (record < end) {
		struct edit edit;
		const u8 *before = record + sizeof(edit);

		memcpy(&edit, record, sizeof(edit));
		if (edit.offset + (u64)edit.size > plan.flat_size || 2ull * edit.size > (u64)(end - before) ||
		    memcmp(at(state.output + edit.offset), before, edit.size))
			return refuse(NOT_AS_EXPECTED, "the kernel image does not hold what the build has found in it");
		memcpy(at(state.output + edit.offset), before + edit.size, edit.size);
		record = before + ((2 * edit.size + 3) & ~3u);
	}
	return 0;
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
	u64 output = state.output;

	if (!state.delta || !(relocate_list(1, at(output + plan.relocs_64_at), plan.relocs_64, 1) ||
			      relocate_list(-1, at(output + plan.relocs_inverse_32_at), plan.relocs_inverse_32, 0) ||
			      relocate_list(1, at(output + plan.relocs_32_at), plan.relocs_32, 0)))
		return 0;
	return refuse(BAD_RELOCATION, "a relocation lies outside the kernel image");
}
