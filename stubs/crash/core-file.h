/* What the crash kernel gets to know of the dead kernel, in the form of an ELF core file. */
#ifndef SAVEOOPS_CORE_FILE_H
#define SAVEOOPS_CORE_FILE_H
#include "dead-kernel.h"

/* In: the panicking CPU's registers, for as long as the kernel has no notes of its own. Needs its page
 * tables. After a reset: NULL, and nothing below table->lost. Gives 0 when RAM that was added after the boot is missing. */
int place_core_file(const struct crash_table *table, const struct pt_regs *regs);

#endif
