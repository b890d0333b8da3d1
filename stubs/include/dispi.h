/*
 * The Bochs DISPI extension of a VGA: modes of its own, in Bochs, QEMU (std, qxl, virtio-vga) and VirtualBox. "VBE Display API" of the Bochs
 * project. The crash stub uses it, and console-mode of the capture initramfs.
 */
#ifndef SAVEOOPS_DISPI_H
#define SAVEOOPS_DISPI_H
#include "machine.h"

#define DISPI_INDEX 0x1ce
#define DISPI_DATA 0x1cf

#define DISPI_ID 0              /* 0xb0c0 and up */
#define DISPI_WIDTH 1
#define DISPI_HEIGHT 2
#define DISPI_DEPTH 3
#define DISPI_ENABLE 4
#define DISPI_VIRTUAL_WIDTH 6
#define DISPI_X 8
#define DISPI_Y 9

/* of DISPI_ENABLE */
#define DISPI_ENABLED 0x01      /* its mode is shown, and the VGA's memory is not at 0xb8000 */
#define DISPI_LINEAR 0x40       /* the frame buffer is where the BAR says */
#define DISPI_KEEP 0x80         /* and is not cleared */

static inline u16 dispi(u16 index)
{
	outw(index, DISPI_INDEX);
	return inw(DISPI_DATA);
}

static inline void set_dispi(u16 index, u16 value)
{
	outw(index, DISPI_INDEX);
	outw(value, DISPI_DATA);
}

/* An adapter without it does not answer at its ports; they are not written then. */
static inline int in_dispi_mode(void)
{
	return inw(DISPI_INDEX) != 0xffff && (dispi(DISPI_ID) & 0xfff0) == 0xb0c0 && (dispi(DISPI_ENABLE) & DISPI_ENABLED);
}

#endif
