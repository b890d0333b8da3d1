/*
 * The VGA in mode 3, 80x25 characters of 9x16 pixels in 720x400, whatever mode the dead kernel left: standard VGA
 * registers, and the Bochs DISPI extension (dispi.h). A mode that a driver has set through other
 * registers of its adapter is not left by this.
 *
 * Registers and values: IBM VGA/XGA Technical Reference Manual (1992), "VGA Function"; J. D. Neal, "FreeVGA Project",
 * chapters of the same names.
 */
#include "dispi.h"
#include "machine.h"
#include "pci.h"
#include "reset.h"

#define ATTRIBUTE 0x3c0         /* index and data in turns; reading INPUT_STATUS makes the next an index */
#define MISC_OUTPUT 0x3c2
#define SEQUENCER 0x3c4         /* index; data one above, like the next two */
#define PALETTE_MASK 0x3c6
#define PALETTE_INDEX 0x3c8
#define PALETTE_DATA 0x3c9
#define GRAPHICS 0x3ce
#define CRTC 0x3d4
#define INPUT_STATUS 0x3da

#define BOCHS_VGA 0x11111234u   /* 1234:1111 */

#define FONT_PLANE 0xa0000
#define TEXT 0xb8000
#define TEXT_SIZE 0x8000
#define COLUMNS 80
#define LINES 25
#define CHARACTERS 256
#define CHARACTER_HEIGHT 16
#define CHARACTER_STRIDE 32     /* in plane 2 */

/* Clock 28 MHz (720 pixels), RAM on, registers at 0x3dX, horizontal sync negative: 400 lines. */
#define MISC_MODE_3 0x67

#define SCREEN_OFF 0x20

/* Reset held, screen off and 9 dots, planes 0 and 1, first font, odd/even addressing in extended memory. */
static const u8 sequencer[] = { 0x01, SCREEN_OFF, 0x03, 0x00, 0x02 };

/*
 * Horizontal: 100 characters, 80 shown, blank from 80 to 98, sync from 85 to 97. Vertical: 449 lines, 400 shown, blank
 * from 406 to 441, sync from 412 to 414. Characters of 16 lines, 40 words a row, the cursor in lines 13 and 14 of the
 * first one.
 */
static const u8 crtc[] = {
	0x5f, 0x4f, 0x50, 0x82, 0x55, 0x81, 0xbf, 0x1f, 0x00, 0x4f, 0x0d, 0x0e, 0x00,
	0x00, 0x00, 0x00, 0x9c, 0x8e, 0x8f, 0x28, 0x1f, 0x96, 0xb9, 0xa3, 0xff,
};

/* Write mode 0 from the CPU, odd/even addressing, text window at 0xb8000, all bits. */
static const u8 graphics[] = { 0x00, 0x00, 0x00, 0x00, 0x00, 0x10, 0x0e, 0x00, 0xff };

/* The 16 colours (6 is brown, not dark yellow), text with blinking, black border, 4 planes, no shift for 9 dots. */
static const u8 attribute[] = {
	0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x14, 0x07, 0x38, 0x39, 0x3a,
	0x3b, 0x3c, 0x3d, 0x3e, 0x3f, 0x0c, 0x00, 0x0f, 0x08, 0x00,
};

static void set(u16 port, u8 index, u8 value)
{
	outb(index, port);
	outb(value, port + 1);
}

static void set_all(u16 port, const u8 *values, u8 count)
{
	u8 i;

	for (i = 0; i < count; i++)
		set(port, i, values[i]);
}

static void set_registers(void)
{
	u8 i;

	set_all(SEQUENCER, sequencer, sizeof(sequencer));
	outb(MISC_MODE_3, MISC_OUTPUT);
	set(SEQUENCER, 0, 0x03);        /* runs with the new clock */
	set(CRTC, 0x03, 0x82);          /* bit 7: register 0x11 is what it says, not the light pen */
	set(CRTC, 0x11, 0x0e);          /* bit 7 off: registers 0 to 7 can be written */
	set_all(CRTC, crtc, sizeof(crtc));
	set_all(GRAPHICS, graphics, sizeof(graphics));
	inb(INPUT_STATUS);
	for (i = 0; i < sizeof(attribute); i++) {
		outb(i, ATTRIBUTE);
		outb(attribute[i], ATTRIBUTE);
	}
	outb(0x20, ATTRIBUTE);          /* the palette is the display's again */
}

/* The 64 colours of an EGA, six bits each: a bit of two thirds and one of a third for red, green, blue. */
static void set_palette(void)
{
	u8 colour, component;

	outb(0xff, PALETTE_MASK);
	outb(0, PALETTE_INDEX);
	for (colour = 0; colour < 64; colour++)
		for (component = 0; component < 3; component++)
			outb((u8)((colour >> (2 - component) & 1) * 0x2a + (colour >> (5 - component) & 1) * 0x15),
			     PALETTE_DATA);
}

/* Plane 2 alone in a linear window at 0xa0000, and back. */
static void load_font(const u8 *font)
{
	volatile u8 *plane = (volatile u8 *)(usize)FONT_PLANE;
	u32 character, line;

	set(SEQUENCER, 2, 0x04);
	set(SEQUENCER, 4, 0x06);
	set(GRAPHICS, 5, 0x00);
	set(GRAPHICS, 6, 0x04);
	for (character = 0; character < CHARACTERS; character++)
		for (line = 0; line < CHARACTER_STRIDE; line++)
			plane[CHARACTER_STRIDE * character + line] =
				line < CHARACTER_HEIGHT ? font[CHARACTER_HEIGHT * character + line] : 0;
	set(SEQUENCER, 2, sequencer[2]);
	set(SEQUENCER, 4, sequencer[4]);
	set(GRAPHICS, 5, graphics[5]);
	set(GRAPHICS, 6, graphics[6]);
}

static void clear_text(void)
{
	volatile u16 *text = (volatile u16 *)(usize)TEXT;
	u32 i;

	for (i = 0; i < TEXT_SIZE / 2; i++)
		text[i] = 0x0720; /* light grey on black, space */
}

void reset_vga(struct crash_table *table)
{
	if (in_dispi_mode())
		set_dispi(DISPI_ENABLE, 0);
	set_registers();
	set_palette();
	if (table->font)
		load_font((const u8 *)(usize)table->font);
	clear_text();
	set(SEQUENCER, 1, sequencer[1] & (u8)~SCREEN_OFF);
	table->pixels.base = 0;
	table->screen_columns = COLUMNS;
	table->screen_lines = LINES;
}

/* Whether bus 0 has it: nobody has asked for this reset, so no port of another adapter is tried. */
static int has_bochs_vga(void)
{
	u32 slot;

	for (slot = 0; slot < 32; slot++) {
		if (pci_read(slot, 0, 0) == BOCHS_VGA)
			return 1;
	}
	return 0;
}

int text_is_hidden(const struct crash_table *table)
{
	return table->screen_columns == COLUMNS && table->screen_lines == LINES && has_bochs_vga() && in_dispi_mode();
}
