/*
 * One line to a person, on the VGA text screen and on COM1, without any driver: for failures only, so that a boot
 * without one looks exactly like a plain boot. The screen is written only in a text mode (screen_info of
 * boot_params), at the bottom line after scrolling it up by one. COM1 only if its line status register answers,
 * at the speed that firmware or loader left.
 */
#ifndef SAVEOOPS_SAY_H
#define SAVEOOPS_SAY_H
#include "line.h"
#include "machine.h"

#define COM1 0x3f8
#define LSR_THR_EMPTY 0x20

static void say_serial(const char *text)
{
	int patience;

	if (inb(COM1 + 5) == 0xff)
		return;
	for (; *text; text++) {
		for (patience = 100000; !(inb(COM1 + 5) & LSR_THR_EMPTY) && patience; patience--)
			;
		if (*text == '\n')
			outb('\r', COM1);
		outb((u8)*text, COM1);
	}
}

/* Scrolls the text screen by one line and writes text there. columns, lines: of a text mode, else 0. */
static void say_screen(const char *text, int columns, int lines)
{
	volatile u16 *screen = (volatile u16 *)(usize)0xb8000;
	int i, last = columns * (lines - 1);

	if (columns < 40 || lines < 20 || columns * lines > 16000)
		return;
	for (i = 0; i < last; i++)
		screen[i] = screen[i + columns];
	for (i = 0; i < columns; i++)
		screen[last + i] = (u16)(0x0f00 | (*text && *text != '\n' ? (u8)*text++ : ' '));
}

#endif
