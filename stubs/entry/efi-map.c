/* Minimal, until the memory-map model is there. */
#include "efi.h"

void take_efi_map(void)
{
	static const struct efi_guid acpi20 = { 0x11d3e4f18868e871, 0x81883cc7800022bc };
	struct boot_params *bp = state.boot_params;
	u64 map = bp->efi_memmap | (u64)bp->efi_memmap_hi << 32, k, n = 0, j, i;
	const struct efi_system *system = at(bp->efi_systab | (u64)bp->efi_systab_hi << 32);

	if (bp->efi_signature != EFI_SIGNATURE_64 || !bp->efi_memdesc_size || map >= 4 * GIB)
		return;
	for (k = 0; k + bp->efi_memdesc_size <= bp->efi_memmap_size; k += bp->efi_memdesc_size) {
		const struct efi_memory *m = at(map + k);

		if (m->type == EFI_CONVENTIONAL && n < MAX_USABLE)
			state.usable[n++] = (struct range){ m->physical, m->physical + m->pages * PAGE };
	}
	for (k = 1; k < n; k++)
		for (j = k; j && state.usable[j - 1].start > state.usable[j].start; j--) {
			struct range t = state.usable[j];

			state.usable[j] = state.usable[j - 1];
			state.usable[j - 1] = t;
		}
	for (i = 1, k = 0; n && i < n; i++)
		if (state.usable[k].end == state.usable[i].start)
			state.usable[k].end = state.usable[i].end;
		else
			state.usable[++k] = state.usable[i];
	state.usable_count = n ? (u32)k + 1 : 0;
	for (k = 0; k < system->config_count; k++)
		if (!memcmp(&system->config[k].guid, &acpi20, 16))
			state.efi_rsdp = system->config[k].table;
}
