/* What a machine that UEFI has started says of its memory beside E820: the EFI memory map and the configuration tables. */
#include "efi.h"

/*
 * Leaves only what the EFI map calls free: E820's RAM has the loader's and firmware's data in it (initrd, EFI map, random
 * seed, TPM log). Nothing changes on a machine that UEFI has not started. 0, or -1 for a map that cannot be read.
 */
int take_efi_map(struct memory_map *free)
{
	static const struct efi_guid acpi20 = { 0x11d3e4f18868e871, 0x81883cc7800022bc };
	static struct memory_map conventional;
	const struct boot_params *bp = state.boot_params;
	u64 map = bp->efi_memmap | (u64)bp->efi_memmap_hi << 32, each = bp->efi_memdesc_size, last = 0, k;
	u64 systab = bp->efi_systab | (u64)bp->efi_systab_hi << 32;
	const struct efi_system *system = at(systab);
	u32 i;

	if (bp->efi_signature != EFI_SIGNATURE_64)
		return 0;
	if (each < sizeof(struct efi_memory) || map + bp->efi_memmap_size > 4 * GIB || systab > 4 * GIB - PAGE)
		return -1;
	conventional.count = conventional.bad = 0;
	for (k = 0; k + each <= bp->efi_memmap_size; k += each) {
		const struct efi_memory *m = at(map + k);

		if (m->type == EFI_CONVENTIONAL)
			map_add(&conventional, m->physical, m->pages * PAGE, E820_RAM);
	}
	map_tidy(&conventional);
	if (conventional.bad || !conventional.count)
		return -1;
	for (i = 0; i < conventional.count; i++) {
		map_change(free, last, conventional.span[i].start - last, E820_RAM, E820_RESERVED);
		last = conventional.span[i].end;
	}
	map_change(free, last, ~0ull - last, E820_RAM, E820_RESERVED);
	map_tidy(free);
	for (k = 0; k < system->config_count; k++)
		if (!memcmp(&system->config[k].guid, &acpi20, sizeof(acpi20)))
			state.efi_rsdp = system->config[k].table;
	return free->bad ? -1 : 0;
}
