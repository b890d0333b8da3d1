/*
 * Under UEFI, not armed after all: the crash region, which firmware has reserved, is RAM again in both maps that the kernel gets.
 * The page below it stays reserved: the status node is there.
 */
#include "efi.h"

static void memmove_up(void *from, usize size, usize distance)
{
	u8 *p = from;

	while (size--)
		p[size + distance] = p[size];
}

/* A full map stays as it is. */
static void give_back_in_e820(struct boot_params *bp)
{
	u64 start = efi.region, end = start + plan.region_size;
	u32 i, k = 0, n = bp->e820_entries;
	struct e820_entry new[3];

	for (i = 0; i < n; i++)
		if (bp->e820[i].type == E820_RESERVED && bp->e820[i].start <= start &&
		    end <= bp->e820[i].start + bp->e820[i].size)
			break;
	if (i >= n || n + 2 > E820_MAX)
		return;
	if (start > bp->e820[i].start)
		new[k++] = (struct e820_entry){ bp->e820[i].start, start - bp->e820[i].start, E820_RESERVED };
	new[k++] = (struct e820_entry){ start, end - start, E820_RAM };
	if (end < bp->e820[i].start + bp->e820[i].size)
		new[k++] = (struct e820_entry){ end, bp->e820[i].start + bp->e820[i].size - end, E820_RESERVED };
	memmove_up(&bp->e820[i + 1], (n - i - 1) * sizeof(new[0]), (k - 1) * sizeof(new[0]));
	memcpy(&bp->e820[i], new, k * sizeof(new[0]));
	bp->e820_entries = (u8)(n + k - 1);
}

static struct efi_memory *add_piece(struct efi_memory *to, const struct efi_memory *of, u64 start, u64 end, u32 type, u32 step)
{
	if (start >= end)
		return to;
	memcpy(to, of, step);
	to->type = type;
	to->physical = start;
	to->pages = (end - start) / PAGE;
	return (struct efi_memory *)((char *)to + step);
}

/* The longer map goes where ours was while boot services ended: memory of a loader, that is free once the kernel has read it. */
static void give_back_in_efi_map(struct boot_params *bp)
{
	u64 start = efi.region, end = start + plan.region_size;
	u32 step = bp->efi_memdesc_size, size = bp->efi_memmap_size, i;
	const char *map = at(bp->efi_memmap | (u64)bp->efi_memmap_hi << 32);
	char *longer = (char *)efi.map;

	if (step < sizeof(struct efi_memory) || size + 2ull * step > efi.map_size)
		return;
	for (i = 0; i + step <= size; i += step) {
		const struct efi_memory *d = (const struct efi_memory *)(map + i);
		u64 d_end = d->physical + d->pages * PAGE;
		struct efi_memory *to = (struct efi_memory *)(longer + i);

		if (d->type != EFI_RESERVED || d->physical > start || d_end < end)
			continue;
		memcpy(longer, map, i);
		to = add_piece(to, d, d->physical, start, EFI_RESERVED, step);
		to = add_piece(to, d, start, end, EFI_CONVENTIONAL, step);
		to = add_piece(to, d, end, d_end, EFI_RESERVED, step);
		memcpy(to, map + i + step, size - i - step);
		bp->efi_memmap = (u32)(usize)longer;
		bp->efi_memmap_hi = (u32)((usize)longer >> 32);
		bp->efi_memmap_size = (u32)((char *)to - longer) + size - i - step;
		return;
	}
}

void give_region_back(struct boot_params *bp)
{
	give_back_in_e820(bp);
	give_back_in_efi_map(bp);
}
