/* --boot-watchdog: the chipset's watchdog, started before the primary, so that a hang at any point becomes a reset. */
#include "entry.h"
#include "tco.h"

#define GCS 0x3410              /* of the chipset's registers; ICH9 datasheet, 10.1.75 */
#define GCS_NO_REBOOT (1u << 5)

/* Whether the second time-out may reset the machine: a strap of the board can forbid it for good. */
static int allow_reset(const struct tco *tco)
{
	volatile u32 *gcs = at(tco->rcba + GCS);
	u16 control = (u16)(tco->port + TCO1_CNT);

	if (tco->rcba) {
		*gcs &= ~GCS_NO_REBOOT;
		return !(*gcs & GCS_NO_REBOOT);
	}
	outw((u16)(inw(control) & ~TCO1_CNT_NO_REBOOT), control);
	return !(inw(control) & TCO1_CNT_NO_REBOOT);
}

void forget_watchdog_resets(void)
{
	struct tco tco = find_tco();

	if (!tco.port)
		return;
	outw(TCO1_STS_TIMEOUT, (u16)(tco.port + TCO1_STS));
	outw(TCO2_STS_SECOND_TO, (u16)(tco.port + TCO2_STS));
	/* A write of its own, as Linux does it. */
	outw(TCO2_STS_BOOT, (u16)(tco.port + TCO2_STS));
}

/*
 * Firmware's handler of system management interrupts may hear the first time-out (TCO_EN of SMI_EN) and stop the watchdog. That
 * is left as it is, as Linux leaves it: what else of the handler relies on it nobody knows.
 */
int start_boot_watchdog(u32 seconds)
{
	struct tco tco = find_tco();
	u16 control = (u16)(tco.port + TCO1_CNT), timer = (u16)(tco.port + TCO_TMR);
	u32 ticks = seconds * 5 / 6; /* twice 0.6 s each */

	if (!tco.port)
		return -1;
	halt_tco(&tco);
	if (!allow_reset(&tco))
		return -1;
	outw((u16)((inw(timer) & ~TCO_TMR_MASK) | ticks), timer);
	outw(1, (u16)(tco.port + TCO_RLD));
	outw((u16)(inw(control) & ~TCO1_CNT_HALT), control);
	return (inw(timer) & TCO_TMR_MASK) == ticks && !(inw(control) & TCO1_CNT_HALT) ? 0 : -1;
}
