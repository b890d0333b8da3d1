/* The root of the ACPI tables, for boot_params.acpi_rsdp_addr: the kernel's decompressor looks for it, too. */
#include "entry.h"

/* RSDP of a BIOS machine (ACPI 5.2.5.1): in the first KiB of the EBDA or in 0xe0000-0xfffff. 0: none. */
u64 find_rsdp(void)
{
	u64 ebda = (u64)*(volatile u16 *)at(0x40e) << 4;
	struct range search[2] = { { ebda, ebda + 1024 }, { 0xe0000, 0x100000 } };
	int i, k;

	for (i = 0; i < 2; i++) {
		u64 p;

		if (i == 0 && (ebda <= 0x400 || ebda >= 0xa0000))
			continue;
		for (p = search[i].start; p < search[i].end; p += 16) {
			const u8 *b = at(p);
			u8 sum = 0;

			if (memcmp(b, "RSD PTR ", 8))
				continue;
			for (k = 0; k < 20; k++)
				sum += b[k];
			if (!sum && b[15] >= 2)
				for (k = 0; k < 36; k++)
					sum += b[k];
			if (!sum)
				return p;
		}
	}
	return 0;
}
