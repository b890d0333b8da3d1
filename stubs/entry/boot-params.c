/* boot_params as a careful loader would have left them. */
#include "entry.h"

/*
 * What the kernel believes of boot_params that a loader has not cleared: sanitize_boot_params() in
 * arch/x86/include/asm/bootparam_utils.h. Offsets and ends, bytes.
 */
static const struct {
	u16 start;
	u16 end;
} believed[] = {
	{ 0x000, 0x054 }, /* screen_info, apm_bios_info */
	{ 0x058, 0x070 }, /* tboot_addr, ist_info; not acpi_rsdp_addr */
	{ 0x080, 0x0c0 }, /* hd0_info, hd1_info, sys_desc_table, olpc_ofw_header; not ext_* */
	{ 0x1c0, 0x1eb }, /* efi_info, alt_mem_k, scratch, counts of E820 and EDD; not kbd_status */
	{ 0x1ec, 0x1ed }, /* secure_boot */
	{ 0x1f1, 0x26c }, /* the setup header */
	{ 0x290, 0xcd0 }, /* edd_mbr_sig_buffer, e820_table */
	{ 0xd00, 0xeec }, /* eddbuf */
};

void sanitize_boot_params(void)
{
	u8 *bp = (u8 *)state.boot_params;
	u32 i, from = 0;

	if (!state.boot_params->sentinel)
		return;
	for (i = 0; i < sizeof(believed) / sizeof(*believed); i++) {
		memset(bp + from, 0, believed[i].start - from);
		from = believed[i].end;
	}
	memset(bp + from, 0, sizeof(*state.boot_params) - from);
}
