/*
 * Memory of a machine that UEFI has started, boot services gone (UEFI specification 2.10: memory descriptors 7.2, system table 4.3,
 * configuration tables 4.6). To E820 much is RAM that is in use: initrd, random seed, TPM log, tables and code of firmware. So region
 * and kernel are placed in conventional memory only.
 */
#include "efi.h"
#include "messages.h"

#define MAX_CONFIG_TABLES 1024

static int started_by_efi(void)
{
	u32 signature = state.boot_params->efi_signature;

	return signature == EFI_SIGNATURE_64 || signature == EFI_SIGNATURE_32;
}

int mark_firmware_memory(struct memory_map *map)
{
	const struct boot_params *bp = state.boot_params;
	u32 step = bp->efi_memdesc_size, i, conventional;
	const u8 *table;

	if (!started_by_efi())
		return 0;
	table = reach(bp->efi_memmap | (u64)bp->efi_memmap_hi << 32, bp->efi_memmap_size);
	if (!table || step < sizeof(struct efi_memory))
		return refuse(BAD_E820, "no usable EFI memory map");
	map_change(map, 0, ~0ull, E820_RAM, RAM_OF_FIRMWARE);
	/* Conventional memory first, then what overlaps it, if firmware is that wrong. */
	for (conventional = 1; conventional != ~0u; conventional--)
		for (i = 0; i + step <= bp->efi_memmap_size; i += step) {
			const struct efi_memory *d = (const struct efi_memory *)(table + i);
			u32 usable = d->type == EFI_CONVENTIONAL && !(d->attribute & EFI_MEMORY_SP);

			if (usable == conventional)
				map_change(map, d->physical, d->pages * PAGE, usable ? RAM_OF_FIRMWARE : E820_RAM,
					   usable ? E820_RAM : RAM_OF_FIRMWARE);
		}
	return 0;
}

u64 efi_rsdp(void)
{
	const struct efi_guid acpi20 = { 0x11d3e4f18868e871, 0x81883cc7800022bc };
	const struct boot_params *bp = state.boot_params;
	const struct efi_system *system;
	const struct efi_config *tables;
	u64 count, i;

	if (bp->efi_signature != EFI_SIGNATURE_64)
		return 0;
	system = reach(bp->efi_systab | (u64)bp->efi_systab_hi << 32, sizeof(*system));
	if (!system)
		return 0;
	count = MIN(system->config_count, (u64)MAX_CONFIG_TABLES);
	tables = reach((u64)system->config, count * sizeof(*tables));
	for (i = 0; tables && i < count; i++)
		if (!memcmp(&tables[i].guid, &acpi20, sizeof(acpi20)))
			return tables[i].table;
	return 0;
}
