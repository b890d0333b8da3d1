/*
 * screen_info (include/uapi/linux/screen_info.h) as the kernel's setup code leaves it in mode 3, 80x25, on a VGA, the
 * cursor at the top left: what the crash kernel finds once the VGA has been reset. ext_mem_k stays.
 */
#ifndef SAVEOOPS_TEXT_MODE_H
#define SAVEOOPS_TEXT_MODE_H
#include "machine.h"

#define TEXT_COLUMNS 80
#define TEXT_LINES 25

static inline void describe_text_mode(u8 *screen)
{
	memset(screen, 0, 2);
	memset(screen + 4, 0, 0x40 - 4);
	screen[0x06] = 3;       /* orig_video_mode */
	screen[0x07] = TEXT_COLUMNS; /* orig_video_cols */
	screen[0x0a] = 3;       /* orig_video_ega_bx: 256 KiB */
	screen[0x0e] = TEXT_LINES; /* orig_video_lines */
	screen[0x0f] = 1;       /* orig_video_isVGA */
	screen[0x10] = 16;      /* orig_video_points */
}

#endif
