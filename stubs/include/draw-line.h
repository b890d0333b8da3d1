/*
 * A line of text on a frame buffer: white on black, on the lowest row of characters, in place of what was there. White is a pixel
 * of all ones and black one of zeros, so the order of the colours does not matter.
 */
#ifndef SAVEOOPS_DRAW_LINE_H
#define SAVEOOPS_DRAW_LINE_H
#include "frame-buffer.h"

/* The page at a physical address, to be written until the next call: whoever includes this has a way to it. */
static volatile u8 *page_to_draw(const void *context, u64 physical);

/* What does not fit the width is cut off. font: FONT_SIZE bytes. */
static void draw_line(const struct frame_buffer *screen, const u8 *font, const char *text, const void *context)
{
	u64 first = screen->base + (u64)(screen->height - CHARACTER_LINES) * screen->line;
	u32 line, column, k, length = 0;

	while (text[length] && text[length] != '\n')
		length++;
	for (line = 0; line < CHARACTER_LINES; line++) {
		u64 address = first + (u64)line * screen->line;
		volatile u8 *page = NULL;

		for (column = 0; column < screen->width; column++) {
			u32 place = column / CHARACTER_WIDTH;
			u8 dots = place < length ? font[CHARACTER_LINES * (u8)text[place] + line] : 0;
			u8 value = dots << (column % CHARACTER_WIDTH) & 0x80 ? 0xff : 0;

			for (k = 0; k < screen->pixel; k++, address++) {
				if (!page || !(address & 0xfff))
					page = page_to_draw(context, address & ~0xfffull);
				page[address & 0xfff] = value;
			}
		}
	}
}

#endif
