/*
 * draw-qr VERSION PREFIX TEXT GZIP [TTY ROW COLUMN [halves]]: a QR code, VERSION at most (1 to 23), in the format of the kernel's drm_panic, drawn on a virtual terminal.
 *
 * The code holds PREFIX, which ends in "z=", and decimal digits: the zlib stream (RFC 1950) of the file TEXT, 17 digits for
 * 7 bytes (drivers/gpu/drm/drm_panic_qr.rs since Linux 6.14). GZIP is TEXT as busybox's gzip has packed it; the deflate
 * stream in it goes into the zlib stream as it is.
 *
 * A text screen has no pixels, but its font can be changed. So the code is cut into cells, every cell becomes a
 * character of a font with 512, and the rest of the font stays ASCII. A cell of 8x16 pixels holds 4x8 modules; on a VGA's text
 * screen and on a frame buffer it is the same. With "halves" the font stays as it is, and a cell holds two modules, one above the other:
 * characters that code page 437 has, in UTF-8.
 *
 * Ends with status 0; 1 when the text does not fit into a code that the screen has room for; 2 when the terminal cannot
 * show it, with a line on standard error. Without TTY it only tells whether the text fits.
 *
 * Freestanding: a static program of a few pages, because each program and library of the capture initramfs is there
 * twice in the crash region. The QR encoder is Project Nayuki's (Debian's libqrcodegen-dev, MIT).
 */
#include <asm/prctl.h>
#include <asm/unistd.h>
#include <fcntl.h>
#include <linux/kd.h>
#include <asm/ioctls.h>
#include <asm/termios.h>
#include <qrcodegen/qrcodegen.h>

enum {
	max_version = 23, /* 109 modules: 28x14 cells, the largest for which 417 characters are enough */
	text_limit = 8 << 10,
	pitch = 32, /* bytes a glyph and 8 columns in KDFONTOP (linux/kd.h) */
	modules_x = 4, /* in a cell */
	modules_y = 8,
	max_glyph = 4 * pitch,
	charcount = 512,
	first_kept = 0x20, /* ASCII stays */
	last_kept = 0x7e,
	columns_wanted = 80,
	rows_wanted = 25,
	margin = 2, /* light modules around a code of halves */
};

static long syscall3(long number, long a, long b, long c)
{
	long result;
	__asm__ volatile("syscall" : "=a"(result) : "0"(number), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
	return result;
}

/* What the encoder calls, and gcc. */
void *memset(void *to, int value, size_t size)
{
	unsigned char *p = to;
	while (size--)
		*p++ = (unsigned char)value;
	return to;
}

void *memmove(void *to, const void *from, size_t size)
{
	unsigned char *t = to;
	const unsigned char *f = from;
	if (t < f)
		for (size_t i = 0; i < size; i++)
			t[i] = f[i];
	else
		while (size--)
			t[size] = f[size];
	return to;
}

void *memcpy(void *to, const void *from, size_t size)
{
	return memmove(to, from, size);
}

size_t strlen(const char *text)
{
	size_t length = 0;
	while (text[length])
		length++;
	return length;
}

char *strchr(const char *text, int wanted)
{
	for (;; text++) {
		if (*text == (char)wanted)
			return (char *)text;
		if (!*text)
			return 0;
	}
}

static _Noreturn void leave(int status)
{
	for (;;)
		syscall3(__NR_exit_group, status, 0, 0);
}

static _Noreturn void fail(const char *what)
{
	syscall3(__NR_write, 2, (long)what, (long)strlen(what));
	syscall3(__NR_write, 2, (long)"\n", 1);
	leave(2);
}

/* Debian's encoder is built with checks. */
void *__memset_chk(void *to, int value, size_t size, size_t room)
{
	if (size > room)
		fail("draw-qr: buffer overflow");
	return memset(to, value, size);
}

_Noreturn void __stack_chk_fail(void)
{
	fail("draw-qr: stack overflow");
}

_Noreturn void __assert_fail(const char *assertion, const char *file, unsigned line, const char *function)
{
	(void)file, (void)line, (void)function;
	fail(assertion);
}

static size_t read_file(const char *path, unsigned char *to, size_t room)
{
	long fd = syscall3(__NR_open, (long)path, O_RDONLY, 0), got;
	size_t size = 0;
	if (fd < 0)
		fail("draw-qr: cannot open the text");
	while (size < room && (got = syscall3(__NR_read, fd, (long)(to + size), (long)(room - size))) > 0)
		size += (size_t)got;
	syscall3(__NR_close, fd, 0, 0);
	return size;
}

/* --- zlib and digits --- */

/* GZIP with the frame of a zlib stream, in place. Its end, or 0 when it is no such file. */
static unsigned char *zlib_of(unsigned char **start, unsigned char *gzip, size_t size, const unsigned char *text, size_t length)
{
	enum { head = 10, tail = 8 }; /* RFC 1952; no name, no comment */
	unsigned a = 1, b = 0; /* Adler-32 */
	if (size < head + tail || gzip[0] != 0x1f || gzip[1] != 0x8b || gzip[3] != 0)
		return 0;
	for (size_t i = 0; i < length; i++) {
		a = (a + text[i]) % 65521;
		b = (b + a) % 65521;
	}
	unsigned char *end = gzip + size - tail;
	*start = gzip + head - 2;
	(*start)[0] = 0x78; /* deflate, a window of 32 KiB */
	(*start)[1] = 0x9c;
	*end++ = (unsigned char)(b >> 8);
	*end++ = (unsigned char)b;
	*end++ = (unsigned char)(a >> 8);
	*end++ = (unsigned char)a;
	return end;
}

/* 7 bytes, the first one lowest, are 17 digits; 1 to 6 at the end are 3, 5, 8, 10, 13, 15. */
static void digits_of(const unsigned char *bytes, const unsigned char *end, char *digits)
{
	static const unsigned char digits_for[] = { 0, 3, 5, 8, 10, 13, 15, 17 };
	while (bytes < end) {
		size_t count = end - bytes < 7 ? (size_t)(end - bytes) : 7;
		unsigned long long value = 0;
		for (size_t i = count; i-- > 0;)
			value = value << 8 | bytes[i];
		for (size_t i = digits_for[count]; i-- > 0; value /= 10)
			digits[i] = (char)('0' + value % 10);
		digits += digits_for[count];
		bytes += count;
	}
	*digits = 0;
}

/* --- the font --- */

static unsigned char font[charcount * max_glyph];

/* The terminal's font, or 0 when it has none that can be taken. */
static int font_op(long tty, unsigned op, struct console_font_op *of)
{
	of->op = op;
	of->flags = 0;
	of->data = font;
	return syscall3(__NR_ioctl, tty, KDFONTOP, (long)of) >= 0;
}

/* Doubles the first 256 characters in both directions. */
static void double_font(struct console_font_op *of)
{
	for (unsigned character = 256; character-- > 0;) {
		const unsigned char *from = font + character * pitch;
		unsigned char wide[2 * pitch] = { 0 }, *to = font + character * 2 * pitch;
		for (unsigned y = 0; y < of->height; y++) {
			unsigned row = 0;
			for (unsigned x = 0; x < 8; x++)
				if (from[y] & 0x80 >> x)
					row |= 0xc000u >> 2 * x;
			for (unsigned twice = 0; twice < 2; twice++) {
				wide[2 * (2 * y + twice)] = (unsigned char)(row >> 8);
				wide[2 * (2 * y + twice) + 1] = (unsigned char)row;
			}
		}
		memcpy(to, wide, sizeof wide);
	}
	of->width = 16;
	of->height *= 2;
}

/* The part of the code that lies in cell (column, row), as a glyph; whether any of it is dark. */
static int cell_of(const unsigned char *code, unsigned column, unsigned row, const struct console_font_op *of, unsigned char *glyph)
{
	unsigned scale_x = of->width / modules_x, scale_y = of->height / modules_y, bytes = of->width / 8;
	int dark = 0;
	memset(glyph, 0, bytes * pitch);
	for (unsigned y = 0; y < of->height; y++)
		for (unsigned x = 0; x < of->width; x++)
			if (qrcodegen_getModule(code, (int)(column * modules_x + x / scale_x), (int)(row * modules_y + y / scale_y))) {
				glyph[y * bytes + x / 8] |= 0x80 >> x % 8;
				dark = 1;
			}
	return dark;
}

/* --- the terminal --- */

static char out[32 << 10];
static size_t out_size;

static void put(const char *text)
{
	size_t length = strlen(text);
	memcpy(out + out_size, text, length);
	out_size += length;
}

static void put_number(unsigned value)
{
	if (value >= 10)
		put_number(value / 10);
	out[out_size++] = (char)('0' + value % 10);
}

static void go_to(unsigned row, unsigned column)
{
	put("\033[");
	put_number(row);
	put(";");
	put_number(column);
	put("H");
}

/* U+F000 + n is the font's character n (Documentation/admin-guide/unicode.rst), in UTF-8. */
static void put_character(unsigned n)
{
	out[out_size++] = (char)0xef;
	out[out_size++] = (char)(0x80 | n >> 6);
	out[out_size++] = (char)(0x80 | (n & 0x3f));
}

static const char colours[] = "\033%G\033]P8000000\033]P7ffffff\033[30;47m"; /* UTF-8; black on white */

static void show(long tty)
{
	put("\033[0m");
	syscall3(__NR_write, tty, (long)out, (long)out_size);
}

static void draw_halves(const unsigned char *code, const char *path, unsigned row, unsigned column)
{
	static const char *const cell[] = { " ", "\u2580", "\u2584", "\u2588" }; /* upper half dark, lower half, both */
	int end = qrcodegen_getSize(code) + margin;
	long tty = syscall3(__NR_open, (long)path, O_RDWR | O_NOCTTY, 0);

	if (tty < 0)
		fail("draw-qr: no such terminal");
	put(colours);
	for (int y = -margin; y < end; y += 2) {
		go_to(row++, column);
		for (int x = -margin; x < end; x++)
			put(cell[qrcodegen_getModule(code, x, y) + 2 * qrcodegen_getModule(code, x, y + 1)]);
	}
	show(tty);
}

/* --- a VGA's text screen --- */

static void write_port(unsigned short port, unsigned char value)
{
	__asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static unsigned char read_port(unsigned short port)
{
	unsigned char value;
	__asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

/*
 * Cells of 8 pixels: the BIOS's text mode has 9, of which the last is empty and cuts the code into strips that no reader puts
 * together. The same mode with the slower clock, so the monitor gets the same frequencies (640x400 at 70 Hz). Registers:
 * IBM VGA, sequencer 1 (clocking mode), miscellaneous output, attribute controller 0x13 (pixel panning: 8 means none with 9
 * pixels, 0 with 8).
 */
enum { attribute = 0x3c0, misc_write = 0x3c2, sequencer = 0x3c4, misc_read = 0x3cc, status = 0x3da };

static void eight_pixels(void)
{
	unsigned char misc = read_port(misc_read);
	write_port(sequencer, 0); /* stop */
	write_port(sequencer + 1, 1);
	write_port(misc_write, misc & ~0x0c);
	write_port(sequencer, 1);
	write_port(sequencer + 1, read_port(sequencer + 1) | 1);
	write_port(sequencer, 0); /* and go */
	write_port(sequencer + 1, 3);
	read_port(status); /* next is an index */
	write_port(attribute, 0x20 | 0x13);
	write_port(attribute, 0);
}

static unsigned number(const char *text)
{
	unsigned value = 0;
	for (; *text >= '0' && *text <= '9'; text++)
		value = value * 10 + (unsigned)(*text - '0');
	return value;
}

static void draw(const unsigned char *code, const char *path, unsigned row, unsigned column)
{
	struct console_font_op of = { .width = 32, .height = 32, .charcount = charcount };
	struct winsize size;
	unsigned modules = (unsigned)qrcodegen_getSize(code);
	unsigned columns = (modules + modules_x - 1) / modules_x, rows = (modules + modules_y - 1) / modules_y;
	unsigned next = 0;
	int has_pixels = syscall3(__NR_open, (long)"/dev/fb0", O_RDONLY, 0) >= 0;
	long tty = syscall3(__NR_open, (long)path, O_RDWR | O_NOCTTY, 0);

	if (tty < 0 || !font_op(tty, KD_FONT_OP_GET, &of) || syscall3(__NR_ioctl, tty, TIOCGWINSZ, (long)&size) < 0)
		fail("draw-qr: this terminal has no font");
	if (of.width == 8 && size.ws_col >= 2 * columns_wanted && size.ws_row >= 2 * rows_wanted && of.height <= 16)
		double_font(&of);
	if ((of.width != 8 && of.width != 16) || of.height % modules_y)
		fail("draw-qr: cells of this size hold no whole modules");
	/* Not on a machine that is locked down (Secure Boot). */
	if (!has_pixels && syscall3(__NR_ioperm, attribute, status + 1 - attribute, 1) < 0)
		fail("draw-qr: the VGA's registers are not to be had");

	put(colours);
	for (unsigned y = 0; y < rows + 1; y++) {
		go_to(row + y, column);
		for (unsigned x = 0; x < columns + 2; x++) {
			unsigned char glyph[max_glyph];
			if (y == 0 || x == 0 || x == columns + 1 || !cell_of(code, x - 1, y - 1, &of, glyph)) {
				put(" ");
				continue;
			}
			if (next == first_kept)
				next = last_kept + 1;
			if (next == charcount)
				leave(1);
			memcpy(font + next * pitch * of.width / 8, glyph, pitch * of.width / 8);
			put_character(next++);
		}
	}
	of.charcount = charcount;
	if (!font_op(tty, KD_FONT_OP_SET, &of))
		fail("draw-qr: this terminal does not take a font of 512 characters");
	if (!has_pixels)
		eight_pixels();
	show(tty);
}

/* What the stack check of Debian's encoder reads at %fs:0x28. */
static unsigned char thread_area[64];

__attribute__((used)) static _Noreturn void start(long *stack)
{
	static unsigned char text[text_limit], gzip[text_limit], work[qrcodegen_BUFFER_LEN_FOR_VERSION(max_version)],
		code[qrcodegen_BUFFER_LEN_FOR_VERSION(max_version)], byte_data[512], digit_data[text_limit];
	static char digits[text_limit * 17 / 7 + 18];
	long argc = stack[0];
	char **argv = (char **)(stack + 1);
	unsigned char *stream, *end;

	syscall3(__NR_arch_prctl, ARCH_SET_FS, (long)thread_area, 0);
	unsigned version = argc > 1 ? number(argv[1]) : 0;
	if ((argc != 5 && argc != 8 && argc != 9) || version < 1 || version > max_version)
		fail("usage: draw-qr VERSION PREFIX TEXT GZIP [TTY ROW COLUMN [halves]]");
	size_t length = read_file(argv[3], text, sizeof text);
	size_t packed = read_file(argv[4], gzip, sizeof gzip);
	if (length == sizeof text || packed == sizeof gzip || strlen(argv[2]) > sizeof byte_data)
		leave(1);
	end = zlib_of(&stream, gzip, packed, text, length);
	if (!end)
		fail("draw-qr: not what gzip writes");
	digits_of(stream, end, digits);
	if (strlen(digits) > 4095)
		leave(1);
	struct qrcodegen_Segment segments[] = {
		qrcodegen_makeBytes((const unsigned char *)argv[2], strlen(argv[2]), byte_data),
		qrcodegen_makeNumeric(digits, digit_data),
	};
	if (!qrcodegen_encodeSegmentsAdvanced(segments, 2, qrcodegen_Ecc_LOW, 1, (int)version, qrcodegen_Mask_AUTO, true, work, code))
		leave(1);
	if (argc == 8)
		draw(code, argv[5], number(argv[6]), number(argv[7]));
	if (argc == 9)
		draw_halves(code, argv[5], number(argv[6]), number(argv[7]));
	leave(0);
}

__asm__(".globl _start\n_start:\n\tmov %rsp, %rdi\n\tand $-16, %rsp\n\tcall start");
