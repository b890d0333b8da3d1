/*
 * Under UEFI, firmware gone: from the kernel that its stub has started to the entry stub's own way (efi.c has led here),
 * and back again when the machine is to boot unarmed.
 */
#include "efi.h"

/* The entry stub changes a copy: the kernel's stub's own is what a plain boot uses. */
static struct boot_params landed_params __attribute__((aligned(4096)));

/* In: RSI of the kernel's entry, as efi-entry.S has kept it. Gives boot_params for the entry stub, below 4 GiB. */
u64 landed(void)
{
	memcpy(&landed_params, at(efi_stub_boot_params), sizeof(landed_params));
	state.given_region = efi.region;
	return (usize)&landed_params;
}

static void memmove_up(void *from, usize size, usize distance)
{
	u8 *p = from;

	while (size--)
		p[size + distance] = p[size];
}

/* The crash region is RAM for the plain kernel; only the status node's page stays reserved. A full map stays as it is. */
static void give_region_back(struct boot_params *bp)
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

/* On the page tables of the kernel's stub: its kernel as it was, with the status node, if there is one. */
void give_kernel_back(void)
{
	struct boot_params *theirs = at(efi_stub_boot_params);
	u64 i;

	for (i = 0; i < efi.patched; i++)
		if (efi.patch[i].at == efi_came_from)
			write_protected(efi_came_from, efi.patch[i].before, PATCH_SIZE);
	theirs->setup_data = landed_params.setup_data;
	give_region_back(theirs);
}
