/*
 * Memory of a machine that UEFI has started, boot services gone (UEFI specification 2.10: memory descriptors 7.2, system table 4.3,
 * configuration tables 4.6). To E820 much is RAM that is in use: initrd, random seed, TPM log, tables and code of firmware. So region
 * and kernel are placed in conventional memory only.
 */
#include "entry.h"
#include "messages.h"

#define EFI_CONVENTIONAL 7
#define EFI_MEMORY_SP 0x40000 /* for a purpose of its own: no RAM for anybody */
#define MAX_CONFIG_TABLES 1024

struct descriptor {
	u32 type;
	u32 pad;
	u64 physical;
	u64 virtual;
	u64 pages;
	u64 attribute;
};

struct config_table {
	u64 guid[2];
	u64 table;
};

/* Of struct efi_system_table, 64 bits: */
#define CONFIG_COUNT 104
#define CONFIG_TABLES 112
#define SYSTEM_TABLE_SIZE 120

static int started_by_efi(void)
{
	u32 signature = state.boot_params->efi_signature;

	return signature == EFI_SIGNATURE_64 || signature == EFI_SIGNATURE_32;
}

int mark_firmware_memory(struct memory_map *map)
{
	const struct boot_params *bp = state.boot_params;
	const u8 *table = reach(bp->efi_memmap | (u64)bp->efi_memmap_hi << 32, bp->efi_memmap_size);
	u32 step = bp->efi_memdesc_size, i, conventional;

	if (!started_by_efi())
		return 0;
	if (!table || step < sizeof(struct descriptor))
		return refuse(BAD_E820, "no usable EFI memory map");
	map_change(map, 0, ~0ull, E820_RAM, RAM_OF_FIRMWARE);
	/* Conventional memory first, then what overlaps it, if firmware is that wrong. */
	for (conventional = 1; conventional != ~0u; conventional--)
		for (i = 0; i + step <= bp->efi_memmap_size; i += step) {
			const struct descriptor *d = (const struct descriptor *)(table + i);
			u32 usable = d->type == EFI_CONVENTIONAL && !(d->attribute & EFI_MEMORY_SP);

			if (usable == conventional)
				map_change(map, d->physical, d->pages * PAGE, usable ? RAM_OF_FIRMWARE : E820_RAM,
					   usable ? E820_RAM : RAM_OF_FIRMWARE);
		}
	return 0;
}

u64 efi_rsdp(void)
{
	const u64 acpi20[2] = { 0x11d3e4f18868e871, 0x81883cc7800022bc };
	const struct boot_params *bp = state.boot_params;
	const u8 *system = reach(bp->efi_systab | (u64)bp->efi_systab_hi << 32, SYSTEM_TABLE_SIZE);
	const struct config_table *tables;
	u64 count, i;

	if (bp->efi_signature != EFI_SIGNATURE_64 || !system)
		return 0;
	count = MIN(*(const u64 *)(system + CONFIG_COUNT), (u64)MAX_CONFIG_TABLES);
	tables = reach(*(const u64 *)(system + CONFIG_TABLES), count * sizeof(*tables));
	for (i = 0; tables && i < count; i++)
		if (!memcmp(tables[i].guid, acpi20, sizeof(acpi20)))
			return tables[i].table;
	return 0;
}
