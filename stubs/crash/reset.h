/* Devices that the crash stub can put back as the BIOS left them: `saveoops build --reset-vga --reset-pic`. */
#ifndef SAVEOOPS_RESET_H
#define SAVEOOPS_RESET_H
#include "crash-table.h"

/* VGA to mode 3; the stub's messages go to this screen from then on. */
void reset_vga(struct crash_table *table);

/*
 * Whether the boot loader started the primary in mode 3, and a mode of DISPI is shown now, on the VGA of Bochs and QEMU. Then there is no text memory at 0xb8000 as long as
 * that lasts; a kernel that does not find it when it starts has no text console, whatever becomes of the adapter later, and nothing that the
 * crash kernel says is ever seen.
 */
int text_is_hidden(const struct crash_table *table);

/* 8259s to the vectors 0x08 and 0x70, all interrupts masked. */
void reset_pic(void);

#endif
