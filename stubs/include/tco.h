/*
 * The watchdog of Intel's chipsets (TCO): where its registers are, and how it is stopped. ICH6 to the 9 series PCH
 * have them behind ACPI's, whose address is in the LPC bridge; the chipsets from the 300 series on at an address of their own, in the SMBus
 * controller. Those between (100 and 200 series) hide the bit that allows a reset behind a bridge that firmware hides, too: left out.
 *
 * Sources: Intel ICH9 datasheet (316972), 13.1.13 PMBASE, 13.9 "System Management TCO Registers", 10.1.75 GCS; 300 series PCH datasheet
 * (337348), "SMBus Configuration Registers"; which device is which: Linux, drivers/mfd/lpc_ich.c, drivers/i2c/busses/i2c-i801.c.
 */
#ifndef SAVEOOPS_TCO_H
#define SAVEOOPS_TCO_H
#include "pci.h"

/* Registers, from their start: 16 bits each. */
#define TCO_RLD 0x00            /* a write counts anew */
#define TCO1_STS 0x04
#define TCO2_STS 0x06
#define TCO1_CNT 0x08
#define TCO_TMR 0x12            /* 10 bits: ticks of 0.6 s, which pass twice until the machine is reset */

#define TCO1_STS_TIMEOUT (1u << 3)
#define TCO2_STS_SECOND_TO (1u << 1)
#define TCO2_STS_BOOT (1u << 2)
#define TCO1_CNT_HALT (1u << 11)
#define TCO1_CNT_NO_REBOOT (1u << 0) /* from the 300 series on */
#define TCO_TMR_MASK 0x3ffu

#define TCO_BEHIND_ACPI 0x60

#define LPC_BRIDGE 31, 0        /* device and function */
#define SMBUS 31, 4
#define PCI_VENDOR_INTEL 0x8086

struct tco {
	u16 port;       /* of the registers; 0: there are none that this file knows */
	u32 rcba;       /* physical address of the chipset's registers, GCS among them; 0: NO_REBOOT is in TCO1_CNT */
};

/* First and last device ID of LPC bridges, ICH6 to 9 series. */
static const u16 tco_lpc[][2] = {
	{ 0x1c40, 0x1c5f }, { 0x1d40, 0x1d41 }, { 0x1e40, 0x1e5f }, { 0x2310, 0x2310 }, { 0x2390, 0x2390 },
	{ 0x2640, 0x2642 }, { 0x2670, 0x267f }, { 0x27b0, 0x27bd }, { 0x2810, 0x2815 }, { 0x2912, 0x2919 },
	{ 0x3a14, 0x3a1a }, { 0x3b00, 0x3b1f }, { 0x8c40, 0x8c5f }, { 0x8cc0, 0x8cdf }, { 0x8d40, 0x8d5f },
	{ 0x9c40, 0x9c47 }, { 0x9cc0, 0x9ccf },
};

/* SMBus controllers from the 300 series on. */
static const u16 tco_smbus[] = {
	0x02a3, 0x06a3, 0x18df, 0x1bc9, 0x34a3, 0x38a3, 0x43a3, 0x4b23, 0x4da3, 0x51a3, 0x54a3, 0x7722, 0x7a23, 0x7aa3,
	0x7e22, 0x7f23, 0x9da3, 0xa0a3, 0xa323, 0xae22, 0xe322, 0xe422,
};

static inline struct tco find_tco(void)
{
	struct tco none = { 0 };
	u32 id = pci_read(LPC_BRIDGE, 0), i;

	if ((id & 0xffff) != PCI_VENDOR_INTEL)
		return none;
	for (i = 0; i < sizeof(tco_lpc) / sizeof(*tco_lpc); i++) {
		u32 base, rcba;

		if (id >> 16 < tco_lpc[i][0] || id >> 16 > tco_lpc[i][1])
			continue;
		base = pci_read(LPC_BRIDGE, 0x40) & 0xff80;
		rcba = pci_read(LPC_BRIDGE, 0xf0);
		/* ACPI_CNTL: its registers are decoded. RCBA: so are the chipset's. */
		if (!(pci_read(LPC_BRIDGE, 0x44) & 1u << 7) || !base || !(rcba & 1))
			return none;
		return (struct tco){ (u16)(base + TCO_BEHIND_ACPI), rcba & ~0x3fffu };
	}
	id = pci_read(SMBUS, 0);
	for (i = 0; i < sizeof(tco_smbus) / sizeof(*tco_smbus); i++)
		/* TCOCTL: the registers are decoded. */
		if (id == (PCI_VENDOR_INTEL | (u32)tco_smbus[i] << 16) && (pci_read(SMBUS, 0x54) & 1u << 8))
			return (struct tco){ (u16)(pci_read(SMBUS, 0x50) & 0xffe0), 0 };
	return none;
}

static inline void halt_tco(const struct tco *tco)
{
	outw((u16)(inw((u16)(tco->port + TCO1_CNT)) | TCO1_CNT_HALT), (u16)(tco->port + TCO1_CNT));
}

#endif
