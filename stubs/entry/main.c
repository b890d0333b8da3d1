/*
 * Entry stub: applies the plan. Decides first (entry_main: nothing outside the stub is written), then moves itself
 * and what it needs into the future crash region and works from there (relocated_main), because the primary kernel
 * may go where the loader put this image. Any failure returns: entry.S then starts the untouched bzImage.
 */
#include "boot-params.h"
#include "crash-table.h"
#include "hook-slots.h"
#include "lz4.h"
#include "plan.h"
#include "say.h"
#include "sha256.h"
#include "xxh32.h"

DEFINE_MEMORY_FUNCTIONS

#define GIB (1ull << 30)
#define MIB (1ull << 20)
#define LARGE_PAGE (2 * MIB)
#define PAGE 4096ull
#define MAX_AVOID 16
/* Page-table entries with accessed and dirty set: the hook sums these tables, so the CPU must not write them. */
#define TABLE 0x63ull
#define LEAF 0xe3ull
#define MAPPED_LIMIT (512 * GIB) /* what one PDPT page maps */

/* docs/messages.md lists them. */
enum reason {
	ARMED = 0,
	PLAN_DAMAGED = 2,
	PART_DAMAGED = 3,
	BAD_E820 = 4,
	NO_ROOM_FOR_REGION = 5,
	NO_ROOM_FOR_KERNEL = 6,
	MEM_ENCRYPT = 7,
	BAD_LZ4 = 8,
	BAD_RELOCATION = 9,
	TOO_MUCH_RAM = 10,
};

struct range {
	u64 start;
	u64 end;
};

/* Everything decided before the move; travels with the stub's copy. */
static struct {
	struct boot_params *boot_params;
	u64 region;
	u64 node;       /* status node, or 0 */
	u64 output;     /* physical address of _text */
	u64 delta;      /* KASLR offset */
	u64 rsdp;
	u64 low_ram_end;
	u64 saved_image; /* copy of what the primary may overwrite, or 0 */
	u64 vmlinux;     /* compressed image in scratch memory */
	u32 level5;
	u32 avoid_count;
	struct range avoid[MAX_AVOID];
	u32 original_entries;
	struct e820_entry original[E820_MAX];
} state;

extern u32 saved_boot_params, image_base;
extern struct plan plan;
extern u64 boot_pml4[512], boot_pml5[512], boot_pdpt[512], boot_pd[2048], extra_pd[1024];
extern char entry32[], stub_end[];
void leave_image(u64 copy);
void enter_kernel(u64 entry, u64 delta, u64 boot_params, u64 pml5);

static void *at(u64 address)
{
	return (void *)(usize)address;
}

/* ---- messages ---- */

static void unarmed(enum reason reason, const char *why)
{
	const u8 *screen = state.boot_params->screen_info;
	struct line line = { .used = 0 };
	int text_mode = screen[6] == 3 || screen[6] == 2;

	add_text(&line, "saveoops: E");
	if (reason < 10)
		add_text(&line, "0");
	add_decimal(&line, reason);
	add_text(&line, " not armed: ");
	add_text(&line, why);
	add_text(&line, "\n");
	say_serial(line.text);
	say_screen(line.text, text_mode ? screen[7] : 0, text_mode ? screen[0xe] : 0);
}

/* ---- command line ---- */

static const char *command_line(void)
{
	return at(state.boot_params->cmd_line_ptr | (u64)state.boot_params->ext_cmd_line_ptr << 32);
}

/*
 * Finds the last `name` or `name=value` word. Gives what follows the name ("" or the value), or NULL. name ends
 * in '=' for options with a value.
 */
static const char *find_option(const char *name)
{
	const char *p = command_line(), *found = NULL;
	usize n = length_of(name);

	if (!p)
		return NULL;
	while (*p) {
		while (*p == ' ')
			p++;
		if (!memcmp(p, name, MIN(n, length_of(p))) && length_of(p) >= n &&
		    (name[n - 1] == '=' || p[n] == ' ' || !p[n]))
			found = p + n;
		while (*p && *p != ' ')
			p++;
	}
	return found;
}

static int option_is(const char *name, const char *value)
{
	const char *found = find_option(name);
	usize n = length_of(value);

	return found && length_of(found) >= n && !memcmp(found, value, n) && (found[n] == ' ' || !found[n]);
}

/* A number with the suffixes K, M, G, T, as the kernel's memparse() takes it; 0 when there is none. */
static u64 parse_size(const char *p)
{
	u64 value = 0;
	u32 base = 10;

	if (p[0] == '0' && (p[1] | 0x20) == 'x') {
		base = 16;
		p += 2;
	}
	for (;; p++) {
		u32 digit = *p >= '0' && *p <= '9'                   ? (u32)(*p - '0') :
			    (*p | 0x20) >= 'a' && (*p | 0x20) <= 'f' ? (u32)((*p | 0x20) - 'a' + 10) :
								       99;

		if (digit >= base)
			break;
		value = value * base + digit;
	}
	switch (*p | 0x20) {
	case 't':
		value <<= 10; /* fall through */
	case 'g':
		value <<= 10; /* fall through */
	case 'm':
		value <<= 10; /* fall through */
	case 'k':
		value <<= 10;
	}
	return value;
}

/* ---- places ---- */

static void avoid(u64 start, u64 size)
{
	if (size && state.avoid_count < MAX_AVOID)
		state.avoid[state.avoid_count++] = (struct range){ start, start + size };
}

/* The avoided range that overlaps [start, end), or NULL. */
static const struct range *hit(u64 start, u64 end)
{
	u32 i;

	for (i = 0; i < state.avoid_count; i++)
		if (state.avoid[i].start < end && start < state.avoid[i].end)
			return &state.avoid[i];
	return NULL;
}

static void collect_avoided(u64 image_size)
{
	struct boot_params *bp = state.boot_params;
	u64 node = bp->setup_data, count = 0;

	avoid(image_base, image_size);
	avoid(bp->ramdisk_image | (u64)bp->ext_ramdisk_image << 32,
	      bp->ramdisk_size | (u64)bp->ext_ramdisk_size << 32);
	avoid((usize)bp, PAGE);
	if (command_line())
		avoid((usize)command_line(), length_of(command_line()) + 1);
	for (; node && node < 4 * GIB && count < 8; count++) {
		const struct setup_data *data = at(node);

		avoid(node, sizeof(*data) + data->len);
		node = data->next;
	}
}

/*
 * Highest 2 MiB-aligned place below 4 GiB (the crash kernel is entered in 32-bit mode) for the region, with one page
 * below it left to the primary for the status node. 0: none.
 */
static u64 place_region(u64 size)
{
	const struct boot_params *bp = state.boot_params;
	u64 best = 0;
	u32 i;

	for (i = 0; i < bp->e820_entries; i++) {
		const struct e820_entry *e = &bp->e820[i];
		u64 low = MAX(e->start, MIB), top = MIN(e->start + e->size, 4 * GIB);
		const struct range *obstacle;

		if (e->type != E820_RAM)
			continue;
		while (top > low && top - low >= size + LARGE_PAGE + PAGE) {
			u64 start = (top - size) & ~(LARGE_PAGE - 1);

			if (start - PAGE < low)
				break;
			obstacle = hit(start - PAGE, start + size);
			if (!obstacle) {
				best = MAX(best, start);
				break;
			}
			top = obstacle->start;
		}
	}
	return best;
}

/* Random bits for KASLR, from the sources that the kernel's own decompressor uses. */
static u64 random_bits(void)
{
	const u64 *words = (const u64 *)state.boot_params;
	u64 hash = 0, raw;
	u32 a, b, c, d, i;

	for (i = 0; i < PAGE / 8; i++)
		hash = ((hash << 57) | (hash >> 7)) ^ words[i];
	cpuid(1, 0, &a, &b, &c, &d);
	if (c & (1u << 30)) {
		u8 ok;

		__asm__ volatile("rdrand %0\n\tsetc %1" : "=r"(raw), "=qm"(ok));
		if (ok)
			hash ^= raw;
	}
	if (d & (1u << 4)) {
		hash ^= rdtsc();
	} else {
		outb(0xc2, 0x43); /* 8254 read-back of counter 0 */
		inb(0x40);
		hash ^= inb(0x40) | (u64)inb(0x40) << 8;
	}
	hash *= 0x9e3779b97f4a7c15ull;
	hash ^= hash >> 32;
	hash *= 0xd6e8feb86659fd93ull;
	return hash ^ (hash >> 29);
}

/* Walks every aligned place for the primary kernel. Gives their number, or, with pick, the address of that one. */
static u64 kernel_places(u64 limit, u64 pick)
{
	const struct boot_params *bp = state.boot_params;
	u64 size = plan.kernel_size, step = plan.kernel_alignment, count = 0;
	u32 i;

	for (i = 0; i < bp->e820_entries; i++) {
		const struct e820_entry *e = &bp->e820[i];
		u64 end = MIN(e->start + e->size, limit);
		u64 start = (MAX(e->start, plan.load_physical_addr) + step - 1) & ~(step - 1);

		if (e->type != E820_RAM)
			continue;
		while (start + size <= end) {
			const struct range *obstacle = hit(start, start + size);

			if (obstacle) {
				start = (obstacle->end + step - 1) & ~(step - 1);
				continue;
			}
			if (count++ == pick)
				return start;
			start += step;
		}
	}
	return count;
}

static int fits_in_ram(u64 start, u64 size)
{
	const struct boot_params *bp = state.boot_params;
	u32 i;

	for (i = 0; i < bp->e820_entries; i++)
		if (bp->e820[i].type == E820_RAM && bp->e820[i].start <= start &&
		    start + size <= bp->e820[i].start + bp->e820[i].size)
			return 1;
	return 0;
}

/* Chooses physical and virtual address of the primary as its own decompressor would. 0: no place. */
static int place_kernel(void)
{
	u64 limit = MAPPED_LIMIT, places;
	const char *mem = find_option("mem=");
	int random = (plan.flags & PLAN_KASLR) && !find_option("nokaslr");

	state.output = plan.load_physical_addr;
	state.delta = 0;
	if (random) {
		state.boot_params->loadflags |= LOADFLAG_KASLR;
		if (mem && parse_size(mem))
			limit = MIN(limit, parse_size(mem));
		/* Like the kernel with many memmap= options: no physical randomisation around ranges not understood. */
		places = find_option("memmap=") ? 0 : kernel_places(limit, ~0ull);
		if (places)
			state.output = kernel_places(limit, random_bits() % places);
		places = 1 + (plan.kernel_image_size - plan.load_physical_addr - plan.kernel_size) / plan.kernel_alignment;
		state.delta = random_bits() % places * plan.kernel_alignment;
	}
	return fits_in_ram(state.output, plan.kernel_size) && !hit(state.output, state.output + plan.kernel_size);
}

/* ---- E820 ---- */

/* Takes [start, end) out of the primary's RAM as a reserved range. 0, or -1 when the table is full. */
static int reserve_in_e820(u64 start, u64 end)
{
	struct boot_params *bp = state.boot_params;
	u32 i, n = bp->e820_entries;

	for (i = 0; i < n; i++) {
		struct e820_entry old = bp->e820[i];
		struct e820_entry new[3];
		u32 k = 0, j;

		if (old.type != E820_RAM || start < old.start || end > old.start + old.size)
			continue;
		if (start > old.start)
			new[k++] = (struct e820_entry){ old.start, start - old.start, E820_RAM };
		new[k++] = (struct e820_entry){ start, end - start, E820_RESERVED };
		if (end < old.start + old.size)
			new[k++] = (struct e820_entry){ end, old.start + old.size - end, E820_RAM };
		if (n + k - 1 > E820_MAX)
			return -1;
		for (j = n; j > i + 1; j--)
			bp->e820[j - 1 + k - 1] = bp->e820[j - 1];
		for (j = 0; j < k; j++)
			bp->e820[i + j] = new[j];
		bp->e820_entries = (u8)(n + k - 1);
		return 0;
	}
	return -1;
}

/* The crash kernel's map: its own part of the region and low memory are RAM, all else that exists is reserved. */
static void crash_e820(struct boot_params *bp, u64 region)
{
	u64 usable = region + PLACE_CRASH_KERNEL, end = region + plan.region_size;
	u32 i, n = 0;

	for (i = 0; i < state.original_entries && n + 3 < E820_MAX; i++) {
		struct e820_entry e = state.original[i];
		u64 last = e.start + e.size;

		if (e.type != E820_RAM) {
			bp->e820[n++] = e;
		} else if (e.start < state.low_ram_end) {
			bp->e820[n++] = (struct e820_entry){ e.start, state.low_ram_end - e.start, E820_RAM };
		} else if (e.start <= region && end <= last) {
			bp->e820[n++] = (struct e820_entry){ e.start, usable - e.start, E820_RESERVED };
			bp->e820[n++] = (struct e820_entry){ usable, end - usable, E820_RAM };
			if (end < last)
				bp->e820[n++] = (struct e820_entry){ end, last - end, E820_RESERVED };
		} else {
			e.type = E820_RESERVED;
			bp->e820[n++] = e;
		}
	}
	bp->e820_entries = (u8)n;
}

/* ---- parity with the kernel's decompressor ---- */

/* RSDP of a BIOS machine (ACPI 5.2.5.1): in the first KiB of the EBDA or in 0xe0000-0xfffff. 0: none. */
static u64 find_rsdp(void)
{
	u64 ebda = (u64)*(volatile u16 *)at(0x40e) << 4;
	struct range search[2] = { { ebda, ebda + 1024 }, { 0xe0000, 0x100000 } };
	int i, k;

	for (i = 0; i < 2; i++) {
		u64 p;

		if (i == 0 && (ebda <= 0x400 || ebda >= 0xa0000))
			continue;
		for (p = search[i].start; p < search[i].end; p += 16) {
			const u8 *b = at(p);
			u8 sum = 0;

			if (memcmp(b, "RSD PTR ", 8))
				continue;
			for (k = 0; k < 20; k++)
				sum += b[k];
			if (!sum && b[15] >= 2)
				for (k = 0; k < 36; k++)
					sum += b[k];
			if (!sum)
				return p;
		}
	}
	return 0;
}

/* The setup header as the loader would have left it for the plain image. */
static void restore_header(void)
{
	struct boot_params *bp = state.boot_params;

	bp->syssize = plan.original_syssize;
	bp->init_size = plan.original_init_size;
	bp->code32_start = image_base;
}

/* ---- the way in ---- */

static const void *part_bytes(int index)
{
	return at(image_base + plan.part[index].offset);
}

static int plan_is_intact(void)
{
	struct plan copy = plan;

	copy.xxh32 = 0;
	return plan.magic == PLAN_MAGIC && plan.version == SHARED_VERSION && xxh32(&copy, sizeof(copy)) == plan.xxh32;
}

static void chain_status_node(u64 node, enum reason reason)
{
	struct status_node *n = at(node);
	struct setup_data *last = NULL;
	u64 next;

	for (next = state.boot_params->setup_data; next; next = last->next)
		last = at(next);
	n->head = (struct setup_data){ 0, SETUP_SAVEOOPS, sizeof(*n) - sizeof(n->head) };
	n->version = 1;
	n->reason = reason;
	n->region_size = reason == ARMED ? plan.region_size : 0;
	if (last)
		last->next = node;
	else
		state.boot_params->setup_data = node;
}

/* Says why, leaves a status node where no one else is, and lets entry.S start the plain kernel. */
static void give_up(enum reason reason, const char *why)
{
	u64 node = state.node;

	unarmed(reason, why);
	state.boot_params->loadflags &= (u8)~LOADFLAG_KASLR;
	if (!node && state.avoid_count) {
		u64 place = place_region(LARGE_PAGE);

		node = place ? place - PAGE : 0;
	}
	if (node)
		chain_status_node(node, reason);
}

static u64 ram_top(void)
{
	const struct boot_params *bp = state.boot_params;
	u64 top = 0;
	u32 i;

	for (i = 0; i < bp->e820_entries; i++)
		if (bp->e820[i].type == E820_RAM)
			top = MAX(top, bp->e820[i].start + bp->e820[i].size);
	return top;
}

/*
 * In: boot_params and the stub's own physical address. Returns when the machine is to boot unarmed; goes on in
 * relocated_main() of the copy otherwise.
 */
void entry_main(u64 boot_params, u64 stub)
{
	struct boot_params *bp = at(boot_params);
	u64 image_end = 0, copy, work;
	int i;

	state.boot_params = bp;
	image_base = (u32)(stub - plan.stub_offset);
	if (!plan_is_intact()) {
		unarmed(PLAN_DAMAGED, "the plan in the image is damaged");
		return;
	}
	restore_header();
	for (i = 0; i < PART_COUNT; i++)
		image_end = MAX(image_end, (u64)plan.part[i].offset + plan.part[i].size);
	collect_avoided(image_end);
	for (i = 0; i < PART_COUNT; i++) {
		struct line why = { .used = 0 };

		/* The leading bzImage is the loader's to check: it is what boots when anything here fails. */
		if (i == PART_CRASH_KERNEL && !(plan.flags & PLAN_OWN_CRASH_KERNEL))
			continue;
		if (xxh32(part_bytes(i), plan.part[i].size) == plan.part[i].xxh32)
			continue;
		add_text(&why, "part ");
		add_decimal(&why, (u64)i);
		add_text(&why, " of the payload is damaged");
		give_up(PART_DAMAGED, why.text);
		return;
	}
	if (!bp->e820_entries || bp->e820_entries > E820_MAX) {
		give_up(BAD_E820, "no usable E820 memory map");
		return;
	}
	if (option_is("mem_encrypt=", "on")) {
		give_up(MEM_ENCRYPT, "mem_encrypt=on is not supported");
		return;
	}
	if (ram_top() > MAPPED_LIMIT) {
		give_up(TOO_MUCH_RAM, "RAM above 512 GiB is not supported");
		return;
	}
	state.original_entries = bp->e820_entries;
	memcpy(state.original, bp->e820, sizeof(bp->e820));
	for (i = 0; i < (int)state.original_entries; i++)
		if (bp->e820[i].type == E820_RAM && bp->e820[i].start < 0xa0000)
			state.low_ram_end = MIN(MAX(state.low_ram_end, bp->e820[i].start + bp->e820[i].size), 0xa0000ull);
	state.region = place_region(plan.region_size);
	if (!state.region) {
		give_up(NO_ROOM_FOR_REGION, "no free RAM below 4 GiB for the crash region");
		return;
	}
	state.node = state.region - PAGE;
	if (reserve_in_e820(state.region, state.region + plan.region_size)) {
		give_up(BAD_E820, "the E820 memory map has no free entry");
		return;
	}
	avoid(state.node, PAGE);
	state.avoid[0] = (struct range){ 0, 0 }; /* the image itself: its parts move away */
	if (!place_kernel()) {
		memcpy(bp->e820, state.original, sizeof(bp->e820));
		bp->e820_entries = (u8)state.original_entries;
		give_up(NO_ROOM_FOR_KERNEL, "no free RAM for the kernel beside the crash region");
		return;
	}
	{
		u32 a, b, c, d;

		cpuid(0, 0, &a, &b, &c, &d);
		if (a >= 7) {
			cpuid(7, 0, &a, &b, &c, &d);
			state.level5 = (plan.flags & PLAN_LEVEL5) && (c & (1u << 16)) && !find_option("no5lvl");
		}
	}
	state.rsdp = bp->acpi_rsdp_addr ? bp->acpi_rsdp_addr : find_rsdp();

	/* From here on the crash region is written: RAM that nobody uses. */
	memset(at(state.region), 0, PLACE_CRASH_KERNEL);
	for (i = PART_CRASH_KERNEL; i <= PART_NOTES; i++)
		memcpy(at(state.region + plan.part[i].place), part_bytes(i), plan.part[i].size);
	copy = state.region + plan.work_offset;
	work = copy + (((u64)(stub_end - entry32) + PAGE - 1) & ~(PAGE - 1));
	state.vmlinux = work;
	memcpy(at(work), part_bytes(PART_VMLINUX), plan.part[PART_VMLINUX].size);
	work += (plan.part[PART_VMLINUX].size + PAGE - 1) & ~(PAGE - 1);
	memcpy(at(work), part_bytes(PART_FIXUPS), plan.part[PART_FIXUPS].size);
	plan.part[PART_FIXUPS].offset = (u32)(work - image_base);
	work += (plan.part[PART_FIXUPS].size + PAGE - 1) & ~(PAGE - 1);
	if (state.output < image_base + plan.stub_offset && image_base < state.output + plan.kernel_size) {
		state.saved_image = work;
		memcpy(at(work), at(image_base), plan.stub_offset);
	}
	memcpy(at(copy), entry32, (usize)(stub_end - entry32));
	leave_image(copy);
}

/* ---- the copy at work ---- */

static void build_identity_map(void)
{
	u64 first = state.output / GIB, last = (state.output + plan.kernel_size - 1) / GIB, g;
	u32 i;

	boot_pml4[0] = (usize)boot_pdpt | 3;
	boot_pml5[0] = (usize)boot_pml4 | 3;
	for (i = 0; i < 4; i++)
		boot_pdpt[i] = (usize)&boot_pd[512 * i] | 3;
	for (i = 0; i < 2048; i++)
		boot_pd[i] = i * LARGE_PAGE | 0x83;
	for (g = first; g <= last; g++) {
		if (g < 4)
			continue;
		boot_pdpt[g] = (usize)&extra_pd[512 * (g - first)] | 3;
		for (i = 0; i < 512; i++)
			extra_pd[512 * (g - first) + i] = (g * GIB + i * LARGE_PAGE) | 0x83;
	}
	__asm__ volatile("mov %0, %%cr3" : : "r"(boot_pml4) : "memory");
}

/* Moves one word by the KASLR offset; -1 when it lies outside the image. */
static int relocate_list(const s64 sign, const u32 *list, u32 count, int wide)
{
	u64 to_physical = state.output - plan.link_text;
	u32 i;

	for (i = 0; i < count; i++) {
		u64 place = (u64)(s64)(int)list[i] + to_physical;

		if (place < state.output || place + 8 > state.output + plan.flat_size)
			return -1;
		if (wide)
			*(u64 *)at(place) += state.delta;
		else
			*(u32 *)at(place) += (u32)(sign * (s64)state.delta);
	}
	return 0;
}

static int relocate(void)
{
	const u32 *list = at(state.output + plan.flat_size);

	if (!state.delta)
		return 0;
	if (relocate_list(1, list, plan.relocs_64, 1))
		return -1;
	list += plan.relocs_64;
	if (relocate_list(-1, list, plan.relocs_inverse_32, 0))
		return -1;
	list += plan.relocs_inverse_32;
	return relocate_list(1, list, plan.relocs_32, 0);
}

/*
 * The hook's page tables: memory one to one in the low half, and in the last top-level entry the kernel image
 * through the kernel's own table. Only GiBs that hold RAM are mapped, so that no device is mapped cacheable.
 * Gives CR3, or 0 when the pool is too small (no 1 GiB pages and much RAM).
 */
static u64 build_hook_tables(struct crash_table *table)
{
	u64 pool = state.region + PLACE_PAGE_TABLES, end = state.region + PLACE_PAGE_TABLES_END;
	u64 *top = at(pool), *pdpt = at(pool + PAGE), *p4d = at(pool + 2 * PAGE);
	u64 next = pool + 3 * PAGE, g, top_ram = 4 * GIB;
	u32 a, b, c, d, i;
	int giant;

	cpuid(0x80000001, 0, &a, &b, &c, &d);
	giant = !!(d & (1u << 26));
	for (i = 0; i < state.original_entries; i++)
		if (state.original[i].type == E820_RAM)
			top_ram = MAX(top_ram, state.original[i].start + state.original[i].size);
	for (g = 0; g < 512 && g * GIB < top_ram; g++) {
		int used = 0;

		for (i = 0; i < state.original_entries; i++) {
			const struct e820_entry *e = &state.original[i];

			used |= e->type == E820_RAM && e->start < (g + 1) * GIB && g * GIB < e->start + e->size;
		}
		if (!used)
			continue;
		if (giant) {
			pdpt[g] = g * GIB | LEAF;
			continue;
		}
		if (next >= end)
			return 0;
		pdpt[g] = next | TABLE;
		for (i = 0; i < 512; i++)
			((u64 *)at(next))[i] = (g * GIB + i * LARGE_PAGE) | LEAF;
		next += PAGE;
	}
	if (state.level5) {
		p4d[0] = (usize)pdpt | TABLE;
		table->identity_table = (usize)p4d;
		top[511] = (state.output + plan.level4_kernel_pgt) | TABLE;
	} else {
		table->identity_table = (usize)pdpt;
		top[511] = (state.output + plan.level3_kernel_pgt) | TABLE;
	}
	top[0] = table->identity_table | TABLE;
	return (usize)top;
}

static void check_later(struct crash_table *table, const char *name, u64 start, u64 size, const u8 *digest)
{
	struct checked_range *range = &table->checked[table->checked_count++];
	usize i;

	range->start = start;
	range->size = size;
	for (i = 0; i < sizeof(range->name) - 1 && name[i]; i++)
		range->name[i] = name[i];
	if (digest)
		memcpy(range->sha256, digest, 32);
	else
		sha256(at(start), size, range->sha256);
}

/* Finishes the crash kernel's boot_params and command line with what only this machine knows. */
static void finish_crash_parameters(void)
{
	struct boot_params *bp = at(state.region + PLACE_BOOT_PARAMS);
	char *cmdline = at(state.region + PLACE_CMDLINE);
	struct line address = { .used = 0 };
	usize n = length_of(cmdline);

	memcpy(bp->screen_info, state.boot_params->screen_info, sizeof(bp->screen_info));
	bp->acpi_rsdp_addr = state.rsdp;
	bp->code32_start = (u32)(state.region + plan.part[PART_CRASH_KERNEL].place);
	bp->ramdisk_image = (u32)(state.region + plan.part[PART_CRASH_INITRD].place);
	bp->ramdisk_size = plan.part[PART_CRASH_INITRD].size;
	bp->cmd_line_ptr = (u32)(state.region + PLACE_CMDLINE);
	crash_e820(bp, state.region);
	add_text(&address, " elfcorehdr=");
	add_decimal(&address, (state.region + PLACE_ELFCOREHDR) / 1024);
	add_text(&address, "K");
	memcpy(cmdline + n, address.text, address.used + 1);
}

/* KASLR moves every SYMBOL() of the synthesised VMCOREINFO: sixteen hexadecimal digits each. */
static void move_symbols(void)
{
	const u32 *fixup = part_bytes(PART_FIXUPS);
	char *notes = at(state.region + PLACE_NOTES);
	u32 i, k, count = plan.part[PART_FIXUPS].size / 4;

	for (i = 0; i < count; i++) {
		char *digits = notes + fixup[i];
		u64 value = 0;

		for (k = 0; k < 16; k++)
			value = value << 4 | (u64)(digits[k] <= '9' ? digits[k] - '0' : digits[k] - 'a' + 10);
		value += state.delta;
		for (k = 0; k < 16; k++)
			digits[k] = "0123456789abcdef"[value >> (60 - 4 * k) & 15];
	}
}

static u64 sum_words(const u64 *words, u64 count)
{
	u64 sum = 0;

	while (count--)
		sum = (sum ^ *words++) * SUM_FACTOR;
	return sum;
}

/* Builds what the crash stub needs and opens the hook. 0, or -1. */
static int arm(void)
{
	u64 region = state.region, *slots = at(state.output + plan.hook_slots), cr3;
	struct crash_table *table = at(region + PLACE_CRASH_TABLE);
	const u8 *screen = state.boot_params->screen_info;
	u32 i;

	table->magic = CRASH_TABLE_MAGIC;
	table->level5 = state.level5;
	table->region = region;
	table->region_size = plan.region_size;
	table->code32_start = region + plan.part[PART_CRASH_KERNEL].place;
	table->notes_size = plan.part[PART_NOTES].size;
	table->kernel_delta = state.delta;
	table->text_virtual = plan.link_text + state.delta;
	table->text_physical = state.output;
	table->phys_base = state.output - (table->text_virtual - 0xffffffff80000000ull);
	table->kernel_size = plan.text_to_end;
	table->smp_stop = plan.smp_stop + state.delta;
	table->smp_crash_stop = plan.smp_crash_stop + state.delta;
	table->sections_per_root = plan.sections_per_root;
	table->backup_size = state.low_ram_end;
	if (screen[6] == 3 || screen[6] == 2) {
		table->screen_columns = screen[7];
		table->screen_lines = screen[0xe];
	}
	for (i = 0; i < KSYM_COUNT; i++)
		table->symbol[i] = plan.symbol[i] ? plan.symbol[i] + state.delta : 0;
	for (i = 0; i < state.boot_params->e820_entries; i++) {
		const struct e820_entry *e = &state.boot_params->e820[i];

		if (e->type == E820_RAM)
			table->ram[table->ram_count++] = (struct ram_range){ e->start, e->size };
	}
	finish_crash_parameters();
	move_symbols();
	check_later(table, "boot_params", region + PLACE_BOOT_PARAMS, PLACE_ELFCOREHDR - PLACE_BOOT_PARAMS, NULL);
	check_later(table, "crash kernel", region + plan.part[PART_CRASH_KERNEL].place,
		    plan.part[PART_CRASH_KERNEL].size, plan.part[PART_CRASH_KERNEL].sha256);
	check_later(table, "crash initrd", region + plan.part[PART_CRASH_INITRD].place,
		    plan.part[PART_CRASH_INITRD].size, plan.part[PART_CRASH_INITRD].sha256);
	check_later(table, "notes", region + PLACE_NOTES, plan.part[PART_NOTES].size, NULL);
	cr3 = build_hook_tables(table);
	if (!cr3)
		return -1;
	slots[SLOT_REGION / 8] = region;
	slots[SLOT_CR3 / 8] = cr3;
	slots[SLOT_WORDS / 8] = PLACE_PAGE_TABLES_END / 8;
	slots[SLOT_SUM / 8] = sum_words(at(region), PLACE_PAGE_TABLES_END / 8);
	return 0;
}

/* Back to the plain kernel after all: gives the image and E820 back as they were. */
static void undo(enum reason reason, const char *why)
{
	struct boot_params *bp = state.boot_params;

	memcpy(bp->e820, state.original, sizeof(bp->e820));
	bp->e820_entries = (u8)state.original_entries;
	if (state.saved_image)
		memcpy(at(image_base), at(state.saved_image), plan.stub_offset);
	give_up(reason, why);
}

void relocated_main(void)
{
	u64 flat = plan.flat_size + 4ull * (plan.relocs_64 + plan.relocs_inverse_32 + plan.relocs_32);

	build_identity_map();
	if (lz4_legacy(at(state.vmlinux), plan.part[PART_VMLINUX].size, at(state.output), flat)) {
		undo(BAD_LZ4, "the kernel image does not decompress");
		return;
	}
	if (relocate()) {
		undo(BAD_RELOCATION, "a relocation lies outside the kernel image");
		return;
	}
	if (arm()) {
		undo(TOO_MUCH_RAM, "more RAM than the page-table pool maps without 1 GiB pages");
		return;
	}
	chain_status_node(state.node, ARMED);
	state.boot_params->acpi_rsdp_addr = state.rsdp;
	enter_kernel(state.output + plan.entry_offset, state.delta, (usize)state.boot_params,
		     state.level5 ? (usize)boot_pml5 : 0);
}
