/* What is different when the dead kernel was reset: firmware and boot loader have run meanwhile. */
#ifndef SAVEOOPS_AFTER_RESET_H
#define SAVEOOPS_AFTER_RESET_H
#include "crash-table.h"

/* Whether the kernel that the region was made for still lies where it was: a resumed one does not. */
int kernel_survived(const struct crash_table *table);

/* From now on read_kernel() takes the kernel's memory from where it is known to lie, below lost none. */
void read_without_tables(struct crash_table *table, u64 lost);

/* The boot loader has left the VGA in text mode: the stub's messages and the crash kernel's go there. */
void show_on_text_screen(struct crash_table *table);

/* A word on the crash kernel's command line: `saveoops.reset=` and the KiB below which memory is lost. */
void tell_crash_kernel(const struct crash_table *table);

#endif
