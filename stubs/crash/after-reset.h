/* What is different when the dead kernel was reset, or may have been: firmware and boot loader have run meanwhile. */
#ifndef SAVEOOPS_AFTER_RESET_H
#define SAVEOOPS_AFTER_RESET_H
#include "crash-table.h"

/* Whether the kernel that the region was made for still lies where it was: a resumed one does not. */
int kernel_survived(const struct crash_table *table);

/* From now on read_kernel() takes the kernel's memory from where it is known to lie, below lost none. */
void read_without_tables(struct crash_table *table, u64 lost);

/* The boot loader has left the VGA in text mode: the stub's messages and the crash kernel's go there. */
void show_on_text_screen(struct crash_table *table);

/*
 * The capture has drivers of its own for watchdogs, but one that waits for its end would be in the way of a crash kernel that has none.
 * Whether the dead kernel's driver had it by then makes no difference.
 */
void stop_boot_watchdog(const struct crash_table *table);

/*
 * Words on the crash kernel's command line: `saveoops.reset=KIB,L/C,L/C`: the KiB below which memory is lost; of the image's constant pages, and of
 * the direct map's page tables, how many no longer hold of how many that were checked. `saveoops.reset-by=watchdog` when the chipset's watchdog says that it was it.
 */
void tell_crash_kernel(const struct crash_table *table);

#endif
