/* A frame buffer that firmware or loader has set up, as screen_info describes it. draw-line.h writes on it. */
#ifndef SAVEOOPS_FRAME_BUFFER_H
#define SAVEOOPS_FRAME_BUFFER_H
#include "types.h"

#define CHARACTER_WIDTH 8
#define CHARACTER_LINES 16
#define FONT_SIZE 4096 /* bytes: 256 characters, a byte a line, its most significant bit left */
#define VIDEO_TYPE_VLFB 0x23
#define VIDEO_TYPE_EFI 0x70
#define CAPABILITY_64BIT_BASE 2

struct frame_buffer {
	u64 base;       /* physical address; 0: there is none */
	u32 width;      /* pixels */
	u32 height;
	u32 line;       /* bytes from a line to the next */
	u32 pixel;      /* bytes */
};

/* The fields of screen_info (include/uapi/linux/screen_info.h) that describe one. */
struct frame_buffer_info {
	u8 pad0[0x0f];
	u8 type;                /* 0x0f: orig_video_isVGA */
	u8 pad1[0x12 - 0x10];
	u16 width;              /* 0x12 */
	u16 height;             /* 0x14 */
	u16 depth;              /* 0x16: bits */
	u32 base;               /* 0x18 */
	u8 pad2[0x24 - 0x1c];
	u16 line;               /* 0x24 */
	u8 pad3[0x36 - 0x26];
	u32 capabilities;       /* 0x36 */
	u32 ext_base;           /* 0x3a: upper half, with CAPABILITY_64BIT_BASE */
	u8 pad4[2];
} __attribute__((packed));

_Static_assert(sizeof(struct frame_buffer_info) == 0x40, "screen_info");

static inline struct frame_buffer frame_buffer_of(const u8 *screen_info)
{
	const struct frame_buffer_info *info = (const struct frame_buffer_info *)screen_info;
	struct frame_buffer screen = { info->base, info->width, info->height, info->line, (info->depth + 7u) / 8 };

	if (info->capabilities & CAPABILITY_64BIT_BASE)
		screen.base |= (u64)info->ext_base << 32;
	if ((info->type != VIDEO_TYPE_EFI && info->type != VIDEO_TYPE_VLFB) || screen.pixel < 2 || screen.pixel > 4 ||
	    screen.height < CHARACTER_LINES || screen.width * screen.pixel > screen.line)
		screen.base = 0;
	return screen;
}

/* Whether screen_info describes a VGA in text mode: orig_video_mode 2 or 3, which a loader may leave there beside a frame buffer. */
static inline int is_text_mode(const u8 *screen_info)
{
	return !frame_buffer_of(screen_info).base && (screen_info[6] == 3 || screen_info[6] == 2);
}

#endif
