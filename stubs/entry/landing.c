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
