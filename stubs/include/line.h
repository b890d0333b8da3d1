/* A line of text put together piece by piece; what does not fit is cut off. */
#ifndef SAVEOOPS_LINE_H
#define SAVEOOPS_LINE_H
#include "types.h"

struct line {
	char text[160];
	u32 used;
};

static inline void add_text(struct line *line, const char *text)
{
	while (*text && line->used < sizeof(line->text) - 2)
		line->text[line->used++] = *text++;
	line->text[line->used] = 0;
}

static inline void add_decimal(struct line *line, u64 value)
{
	char digits[21];
	int at = 20;

	digits[20] = 0;
	do
		digits[--at] = (char)('0' + value % 10);
	while (value /= 10);
	add_text(line, digits + at);
}

static inline void add_hexadecimal(struct line *line, u64 value)
{
	char digits[17];
	int k, used = 0;

	for (k = 60; k >= 0; k -= 4)
		if (value >> k || !k)
			digits[used++] = "0123456789abcdef"[value >> k & 15];
	digits[used] = 0;
	add_text(line, digits);
}

#endif
