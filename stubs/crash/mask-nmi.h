/* The way of NMIs to this CPU, shut as far as that is possible. */
#ifndef SAVEOOPS_MASK_NMI_H
#define SAVEOOPS_MASK_NMI_H
#include "crash-table.h"

/*
 * Masks LINT1 of the local APIC, which the crash kernel sets anew, and the chipset's NMIs. Those that were sent, and
 * those of performance counters that the kernel left running, still come.
 */
void mask_nmi(const struct crash_table *table);

#endif
