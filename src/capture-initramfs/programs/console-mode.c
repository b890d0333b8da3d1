/*
 * console-mode FONT: makes the crash kernel's console legible on an adapter with the Bochs DISPI extension (QEMU's std and qxl), on which a
 * driver of the dead kernel had set a mode. screen_info says what the console is on. A frame buffer: the mode of the boot is set again, as the
 * driver's may be of another size. Text: the font is loaded, as a graphics mode leaves its picture where a VGA keeps it.
 * FONT: 256 characters of 8x16, a byte a line, or no file.
 *
 * Ends with status 0, also when there was nothing to do; 2 when it cannot, with a line on standard error.
 *
 * Freestanding, as draw-qr.
 */
#include <asm/unistd.h>
#include <fcntl.h>
#include <linux/kd.h>
#include "dispi.h"

/* struct screen_info (include/uapi/linux/screen_info.h), at the start of boot_params. */
enum { lines_at = 0x0e, kind_at = 0x0f, points_at = 0x10, width_at = 0x12, height_at = 0x14, depth_at = 0x16, pitch_at = 0x24, screen_info_size = 0x40 };
enum { kind_vga = 0x01, kind_vesa = 0x23, kind_efi = 0x70 };

enum { characters = 256, height = 16, pitch = 32 /* bytes a glyph in KDFONTOP (linux/kd.h) */ };

DEFINE_MEMORY_FUNCTIONS

static long syscall3(long number, long a, long b, long c)
{
	long result;
	__asm__ volatile("syscall" : "=a"(result) : "0"(number), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
	return result;
}

static _Noreturn void leave(int status)
{
	for (;;)
		syscall3(__NR_exit_group, status, 0, 0);
}

static _Noreturn void fail(const char *what)
{
	syscall3(__NR_write, 2, (long)what, (long)length_of(what));
	leave(2);
}

/* Whether the file has SIZE bytes to read. */
static int read_start(const char *path, u8 *to, usize size)
{
	long fd = syscall3(__NR_open, (long)path, O_RDONLY, 0), got;
	if (fd < 0)
		return 0;
	got = syscall3(__NR_read, fd, (long)to, (long)size);
	syscall3(__NR_close, fd, 0, 0);
	return got == (long)size;
}

static u16 field16(const u8 *screen_info, usize at)
{
	return (u16)(screen_info[at] | screen_info[at + 1] << 8);
}

static void graphics_mode(const u8 *screen_info)
{
	u16 depth = field16(screen_info, depth_at), bytes = (u16)((depth + 7) / 8);
	set_dispi(DISPI_ENABLE, 0);
	set_dispi(DISPI_WIDTH, field16(screen_info, width_at));
	set_dispi(DISPI_HEIGHT, field16(screen_info, height_at));
	set_dispi(DISPI_DEPTH, depth);
	set_dispi(DISPI_ENABLE, DISPI_ENABLED | DISPI_LINEAR | DISPI_KEEP);
	set_dispi(DISPI_VIRTUAL_WIDTH, (u16)(field16(screen_info, pitch_at) / bytes));
	set_dispi(DISPI_X, 0);
	set_dispi(DISPI_Y, 0);
}

static void load_font(const char *path)
{
	static u8 font[characters * height], glyphs[characters * pitch];
	struct console_font_op of = { .op = KD_FONT_OP_SET, .width = 8, .height = height, .charcount = characters, .data = glyphs };
	long tty = syscall3(__NR_open, (long)"/dev/tty0", O_RDWR | O_NOCTTY, 0);
	if (!read_start(path, font, sizeof font))
		return;
	for (usize i = 0; i < characters; i++)
		memcpy(glyphs + i * pitch, font + i * height, height);
	if (syscall3(__NR_ioctl, tty, KDFONTOP, (long)&of) < 0)
		fail("console-mode: this terminal takes no font\n");
}

__attribute__((used)) static _Noreturn void start(long *stack)
{
	static u8 screen_info[screen_info_size];
	char **argv = (char **)(stack + 1);
	if (stack[0] != 2)
		fail("usage: console-mode FONT\n");
	if (!read_start("/sys/kernel/boot_params/data", screen_info, sizeof screen_info))
		fail("console-mode: no boot_params\n");
	switch (screen_info[kind_at]) {
	case kind_vga:
		/* Mode 3 and no other: its characters have 16 lines. */
		if (field16(screen_info, points_at) != height || screen_info[lines_at] != 25)
			break;
		load_font(argv[1]);
		break;
	case kind_vesa:
	case kind_efi:
		if (syscall3(__NR_ioperm, DISPI_INDEX, DISPI_DATA + 2 - DISPI_INDEX, 1) < 0)
			fail("console-mode: the adapter's registers are not to be had\n");
		if (field16(screen_info, depth_at) && in_dispi_mode())
			graphics_mode(screen_info);
	}
	leave(0);
}

__asm__(".globl _start\n_start:\n\tmov %rsp, %rdi\n\tand $-16, %rsp\n\tcall start");
