/* Devices that the crash stub can put back as the BIOS left them: `saveoops build --reset-vga --reset-pic`. */
#ifndef SAVEOOPS_RESET_H
#define SAVEOOPS_RESET_H
#include "crash-table.h"

/* VGA to mode 3; the stub's messages go to this screen from then on. */
void reset_vga(struct crash_table *table);

/* 8259s to the vectors 0x08 and 0x70, all interrupts masked. */
void reset_pic(void);

#endif
