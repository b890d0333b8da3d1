/*
 * /bin/read-log of the capture initramfs: prints the dead kernel's log out of /proc/vmcore, as vmcore-dmesg(8) does, in a
 * memory of its own size. vmcore-dmesg copies all rings of the log first, four and a half times log_buf_len: of 16 MiB the
 * crash kernel has not got so much.
 *
 *   read-log FILE [BYTES]
 *
 * FILE is an ELF64 core with a VMCOREINFO note. With BYTES only the last records are printed, of about so many bytes.
 * Exit status: 0 all printed, 1 not, with the reason on standard error, 2 wrong arguments.
 *
 * What it reads was left by a kernel that died: every number is checked before it is used, and the loops end whatever they
 * are. Sources: the kernel's kernel/printk/printk_ringbuffer.h and .c (the rings), kernel/printk/printk.c,
 * log_buf_vmcoreinfo_setup() (names in VMCOREINFO); elf(5).
 *
 * Freestanding, so that it needs no library beside it: the initramfs brings it as it is.
 */
#include <elf.h>
#include <stddef.h>
#include <stdint.h>

enum { SYS_WRITE = 1, SYS_OPEN = 2, SYS_PREAD64 = 17, SYS_EXIT_GROUP = 231 };

static long call(long number, long a, long b, long c, long d)
{
	register long r10 __asm__("r10") = d;
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10)
			 : "rcx", "r11", "memory");
	return result;
}

static size_t length(const char *text)
{
	size_t size = 0;

	while (text[size] != '\0')
		size++;
	return size;
}

static __attribute__((noreturn)) void leave(int status)
{
	for (;;)
		call(SYS_EXIT_GROUP, status, 0, 0, 0);
}

/* --- output --- */

static char out[8192];
static size_t filled;

/* 0: written. */
static int flush(void)
{
	size_t done = 0;

	while (done < filled) {
		long wrote = call(SYS_WRITE, 1, (long)(out + done), (long)(filled - done), 0);

		if (wrote <= 0)
			return -1;
		done += (size_t)wrote;
	}
	filled = 0;
	return 0;
}

/* What was read until then is printed all the same. */
static __attribute__((noreturn)) void fail(const char *reason)
{
	flush();
	call(SYS_WRITE, 2, (long)reason, (long)length(reason), 0);
	call(SYS_WRITE, 2, (long)"\n", 1, 0);
	leave(1);
}

static void put(char c)
{
	if (filled == sizeof(out) && flush() != 0)
		fail("cannot write");
	out[filled++] = c;
}

/* At least `width` characters, with `pad` before the digits. */
static void put_number(uint64_t value, int width, char pad)
{
	char digits[20];
	int count = 0;

	do {
		digits[count++] = (char)('0' + value % 10);
		value /= 10;
	} while (value != 0);
	for (; width > count; width--)
		put(pad);
	while (count > 0)
		put(digits[--count]);
}

/* What is neither printable nor a space becomes \xNN: a terminal must not obey a dead kernel. */
static void put_text(unsigned char c)
{
	static const char hex[] = "0123456789abcdef";

	if ((c >= ' ' && c <= '~') || (c >= '\t' && c <= '\r')) {
		put((char)c);
		return;
	}
	put('\\');
	put('x');
	put(hex[c >> 4]);
	put(hex[c & 15]);
}

/* --- the core file --- */

static int core;

static void read_at(uint64_t offset, void *to, size_t size)
{
	size_t done = 0;

	while (done < size) {
		long got = call(SYS_PREAD64, core, (long)((char *)to + done), (long)(size - done),
				(long)(offset + done));

		if (got <= 0)
			fail("cannot read the core file");
		done += (size_t)got;
	}
}

static Elf64_Ehdr header;

static void read_segment(unsigned int index, Elf64_Phdr *segment)
{
	read_at(header.e_phoff + (uint64_t)index * sizeof(*segment), segment, sizeof(*segment));
}

static void open_core(const char *path)
{
	core = (int)call(SYS_OPEN, (long)path, 0, 0, 0);
	if (core < 0)
		fail("cannot open the core file");
	read_at(0, &header, sizeof(header));
	if (header.e_ident[EI_MAG0] != ELFMAG0 || header.e_ident[EI_MAG1] != ELFMAG1 ||
	    header.e_ident[EI_MAG2] != ELFMAG2 || header.e_ident[EI_MAG3] != ELFMAG3 ||
	    header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_phentsize != sizeof(Elf64_Phdr))
		fail("not an ELF64 core file");
}

/* A part of the dead kernel's memory that was read at once. */
struct window {
	uint64_t start; /* virtual address */
	size_t size; /* bytes, 0: nothing yet */
	unsigned char bytes[16384];
};

/* The last segment that an address was in: most are in the same. */
static Elf64_Phdr current;

static void find_segment(uint64_t address)
{
	unsigned int i;

	if (current.p_type == PT_LOAD && address - current.p_vaddr < current.p_filesz)
		return;
	for (i = 0; i < header.e_phnum; i++) {
		read_segment(i, &current);
		if (current.p_type == PT_LOAD && address - current.p_vaddr < current.p_filesz)
			return;
	}
	fail("an address of the log is in no segment of the core file");
}

/* `size` bytes at a virtual address, at most 4096: valid until the next call for the same window. */
static const unsigned char *memory(struct window *window, uint64_t address, size_t size)
{
	uint64_t rest;

	if (address - window->start < window->size && size <= window->size - (address - window->start))
		return window->bytes + (address - window->start);
	find_segment(address);
	/* A little of what lies before it, for those who go backward. */
	window->start = address & ~(uint64_t)4095;
	if (window->start < current.p_vaddr || window->start > address)
		window->start = current.p_vaddr;
	rest = current.p_filesz - (window->start - current.p_vaddr);
	window->size = rest < sizeof(window->bytes) ? (size_t)rest : sizeof(window->bytes);
	if (address - window->start > window->size || size > window->size - (address - window->start))
		fail("a part of the log reaches beyond its segment");
	read_at(current.p_offset + (window->start - current.p_vaddr), window->bytes, window->size);
	return window->bytes + (address - window->start);
}

static uint64_t number_at(const unsigned char *bytes, size_t size)
{
	uint64_t value = 0;

	while (size-- > 0)
		value = value << 8 | bytes[size];
	return value;
}

/* --- VMCOREINFO: lines KEY=VALUE --- */

static char info[16384];
static size_t info_size;

static void find_info(void)
{
	static unsigned char notes[65536];
	unsigned int i;

	for (i = 0; i < header.e_phnum && info_size == 0; i++) {
		Elf64_Phdr segment;
		size_t at = 0;
		size_t size;

		read_segment(i, &segment);
		if (segment.p_type != PT_NOTE)
			continue;
		size = segment.p_filesz < sizeof(notes) ? (size_t)segment.p_filesz : sizeof(notes);
		read_at(segment.p_offset, notes, size);
		while (size - at >= sizeof(Elf64_Nhdr)) {
			const Elf64_Nhdr *note = (const void *)(notes + at);
			uint64_t name = at + sizeof(*note);
			uint64_t text = name + (((uint64_t)note->n_namesz + 3) & ~(uint64_t)3);
			uint64_t next = text + (((uint64_t)note->n_descsz + 3) & ~(uint64_t)3);

			if (next > size)
				break;
			if (note->n_namesz == 11 && notes[name] == 'V' && notes[name + 1] == 'M' &&
			    note->n_type == 0) {
				while (info_size < note->n_descsz && info_size < sizeof(info)) {
					info[info_size] = (char)notes[text + info_size];
					info_size++;
				}
				return;
			}
			at = (size_t)next;
		}
	}
	fail("no VMCOREINFO in the core file");
}

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : 16;
}

/* The number behind `key`, its = included. */
static uint64_t value_of(const char *key, int base)
{
	size_t size = length(key);
	size_t at;

	for (at = 0; at + size < info_size; at++) {
		uint64_t value = 0;
		size_t i = 0;

		if (at > 0 && info[at - 1] != '\n')
			continue;
		while (i < size && info[at + i] == key[i])
			i++;
		if (i < size)
			continue;
		for (at += size; at < info_size && digit(info[at]) < base; at++)
			value = value * (uint64_t)base + (uint64_t)digit(info[at]);
		return value;
	}
	fail("VMCOREINFO lacks what tells where the log is (kernels before 5.10 are not known)");
}

/* An offset or a size within a structure. No structure of the log has 4 KiB. */
static size_t layout(const char *key)
{
	uint64_t value = value_of(key, 10);

	if (value > 2048)
		fail("VMCOREINFO has an offset that cannot be");
	return (size_t)value;
}

/* --- the log --- */

/* The rings: how many bits an index into them has, and where they are. */
static uint64_t desc_bits, text_bits;
static uint64_t descs, infos, texts;
static uint64_t head, tail;

/* Where in their structures the fields of a record are. */
static size_t desc_size, state_at, begin_at, next_at;
static size_t info_length, time_at, length_at;

static struct window desc_window, info_window, text_window;

static void find_rings(void)
{
	size_t prb_size = layout("SIZE(printk_ringbuffer)=");
	size_t ring = layout("OFFSET(printk_ringbuffer.desc_ring)=");
	size_t data = layout("OFFSET(printk_ringbuffer.text_data_ring)=");
	size_t counter = layout("OFFSET(atomic_long_t.counter)=");
	size_t block = layout("OFFSET(prb_desc.text_blk_lpos)=");
	uint64_t pointer = value_of("SYMBOL(prb)=", 16);
	const unsigned char *prb;

	pointer = number_at(memory(&text_window, pointer, 8), 8);
	/* Wide enough for any field that layout() allows. */
	prb = memory(&text_window, pointer, prb_size);
#define FIELD(from, key, size)                                                                     \
	(layout(key) + (from) + (size) <= prb_size ? number_at(prb + (from) + layout(key), (size)) : \
						     (fail("VMCOREINFO has an offset that cannot be"), 0))
	desc_bits = FIELD(ring, "OFFSET(prb_desc_ring.count_bits)=", 4);
	descs = FIELD(ring, "OFFSET(prb_desc_ring.descs)=", 8);
	infos = FIELD(ring, "OFFSET(prb_desc_ring.infos)=", 8);
	head = FIELD(ring + counter, "OFFSET(prb_desc_ring.head_id)=", 8);
	tail = FIELD(ring + counter, "OFFSET(prb_desc_ring.tail_id)=", 8);
	text_bits = FIELD(data, "OFFSET(prb_data_ring.size_bits)=", 4);
	texts = FIELD(data, "OFFSET(prb_data_ring.data)=", 8);
#undef FIELD
	desc_size = layout("SIZE(prb_desc)=");
	state_at = layout("OFFSET(prb_desc.state_var)=") + counter;
	begin_at = block + layout("OFFSET(prb_data_blk_lpos.begin)=");
	next_at = block + layout("OFFSET(prb_data_blk_lpos.next)=");
	info_length = layout("SIZE(printk_info)=");
	time_at = layout("OFFSET(printk_info.ts_nsec)=");
	length_at = layout("OFFSET(printk_info.text_len)=");
	if (desc_bits > 31 || text_bits > 31 || state_at + 8 > desc_size || begin_at + 8 > desc_size ||
	    next_at + 8 > desc_size || time_at + 8 > info_length || length_at + 2 > info_length)
		fail("the log's own description of itself is damaged");
}

static const unsigned char *info_of(uint64_t id)
{
	uint64_t index = id & (((uint64_t)1 << desc_bits) - 1);

	return memory(&info_window, infos + index * info_length, info_length);
}

/* The two upper bits of a state are 1 (committed) or 2 (finalized) when the record is one, the others are its ID. */
static const uint64_t id_mask = ((uint64_t)1 << 62) - 1;

static void print_record(uint64_t id)
{
	uint64_t index = id & (((uint64_t)1 << desc_bits) - 1);
	const unsigned char *desc = memory(&desc_window, descs + index * desc_size, desc_size);
	const unsigned char *record = info_of(id);
	uint64_t state = number_at(desc + state_at, 8);
	uint64_t size = (uint64_t)1 << text_bits;
	uint64_t begin = number_at(desc + begin_at, 8) & (size - 1);
	uint64_t next = number_at(desc + next_at, 8) & (size - 1);
	uint64_t time = number_at(record + time_at, 8);
	uint64_t rest = number_at(record + length_at, 2);

	if ((state & id_mask) != id || (state >> 62 != 1 && state >> 62 != 2))
		return;
	put('[');
	put_number(time / 1000000000, 5, ' ');
	put('.');
	put_number(time % 1000000000 / 1000, 6, '0');
	put(']');
	put(' ');
	if (begin != next) {
		/* A block that would reach over the end lies at the beginning; one may end exactly there. */
		if (next == 0)
			next = size;
		else if (begin > next)
			begin = 0;
		/* Before the text is the record's ID. */
		begin += 8;
		if (begin > next)
			rest = 0;
		else if (rest > next - begin)
			rest = next - begin;
		while (rest > 0) {
			size_t part = rest < 1024 ? (size_t)rest : 1024;
			const unsigned char *text = memory(&text_window, texts + begin, part);
			size_t i;

			for (i = 0; i < part; i++)
				put_text(text[i]);
			begin += part;
			rest -= part;
		}
	}
	put('\n');
}

static uint64_t decimal(const char *text)
{
	uint64_t value = 0;

	if (*text == '\0')
		return 0;
	for (; *text != '\0'; text++) {
		if (*text < '0' || *text > '9' || value > 1000000000000)
			return 0;
		value = value * 10 + (uint64_t)(*text - '0');
	}
	return value;
}

/* Called with the stack as the kernel leaves it: the number of arguments, then they. */
__attribute__((used, noreturn)) static void start(const long *stack)
{
	long count = stack[0];
	char *const *arguments = (char *const *)(stack + 1);
	uint64_t most = count == 3 ? decimal(arguments[2]) : UINT64_MAX;
	uint64_t records;

	if ((count != 2 && count != 3) || most == 0) {
		static const char usage[] = "usage: read-log FILE [BYTES]\n";

		call(SYS_WRITE, 2, (long)usage, sizeof(usage) - 1, 0);
		leave(2);
	}
	open_core(arguments[1]);
	find_info();
	find_rings();
	/* Both ends are records. The ring has no more than its size. */
	records = ((head - tail) & id_mask) + 1;
	if (records > (uint64_t)1 << desc_bits)
		fail("the log's own description of itself is damaged");
	if (most != UINT64_MAX) {
		uint64_t bytes = 0;
		uint64_t last = 0;

		/* A time stamp has 15 characters, and the line its end. */
		while (last < records && bytes < most)
			bytes += number_at(info_of((head - last++) & id_mask) + length_at, 2) + 16;
		records = last;
	}
	while (records-- > 0)
		print_record((head - records) & id_mask);
	if (flush() != 0)
		fail("cannot write");
	leave(0);
}

__asm__(".globl _start\n_start:\n\txor %ebp, %ebp\n\tmov %rsp, %rdi\n\tand $-16, %rsp\n\tcall start\n");
