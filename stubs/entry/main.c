/*
 * Entry stub: applies the plan. Decides first (entry_main: nothing outside the stub is written), then moves itself
 * and what it needs into the future crash region and works from there (relocated_main), because the primary kernel
 * may go where the loader put this image. Any failure returns: entry.S then starts the untouched bzImage.
 */
#include "entry.h"
#include "say.h"
#include "xxh32.h"

DEFINE_MEMORY_FUNCTIONS

struct entry_state state;

/* ---- messages ---- */

void tell_serial(const char *text)
{
	say_serial(text);
}

/* A whole line, with its end. */
void tell(const char *text)
{
	const u8 *screen = state.boot_params->screen_info;
	int text_mode = screen[6] == 3 || screen[6] == 2;

	say_serial(text);
	say_screen(text, text_mode ? screen[7] : 0, text_mode ? screen[0xe] : 0);
}

void add_unarmed(struct line *line, enum reason reason, const char *why)
{
	add_text(line, "saveoops: E");
	if (reason < 10)
		add_text(line, "0");
	add_decimal(line, reason);
	add_text(line, " not armed: ");
	add_text(line, why);
	add_text(line, "\n");
}

static void unarmed(enum reason reason, const char *why)
{
	struct line line = { .used = 0 };

	add_unarmed(&line, reason, why);
	tell(line.text);
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
	bp->xloadflags = (u16)plan.original_xloadflags;
	bp->code32_start = image_base;
}

/* As the kernel's sanitize_boot_params(): a loader that has not cleared boot_params has left the boot sector there. */
static void sanitize(void)
{
	struct boot_params *bp = state.boot_params;

	if (!bp->sentinel)
		return;
	bp->acpi_rsdp_addr = 0;
	bp->ext_ramdisk_image = 0;
	bp->ext_ramdisk_size = 0;
	bp->ext_cmd_line_ptr = 0;
}

static void sort_e820(void)
{
	struct boot_params *bp = state.boot_params;
	u32 k, j, n = bp->e820_entries;

	for (k = 1; k < n; k++)
		for (j = k; j && bp->e820[j - 1].start > bp->e820[j].start; j--) {
			struct e820_entry t = bp->e820[j];

			bp->e820[j] = bp->e820[j - 1];
			bp->e820[j - 1] = t;
		}
}

/* ---- the way in ---- */

int plan_is_intact(void)
{
	struct plan copy = plan;

	copy.xxh32 = 0;
	return plan.magic == PLAN_MAGIC && plan.version == SHARED_VERSION && xxh32(&copy, sizeof(copy)) == plan.xxh32;
}

/* Says which part's bytes are not what the build wrote: 1; 0: none. */
int find_damaged_part(struct line *why)
{
	int i;

	for (i = 0; i < PART_COUNT; i++) {
		/* The leading bzImage is the loader's to check: it is what boots when anything here fails. */
		if (i == PART_CRASH_KERNEL && !(plan.flags & PLAN_OWN_CRASH_KERNEL))
			continue;
		if (xxh32(part_bytes(i), plan.part[i].size) == plan.part[i].xxh32)
			continue;
		add_text(why, "part ");
		add_decimal(why, (u64)i);
		add_text(why, " of the payload is damaged");
		return 1;
	}
	return 0;
}

static void chain_status_node(u64 node, enum reason reason)
{
	struct status_node *n = at(node);

	n->head = (struct setup_data){ state.boot_params->setup_data, SETUP_SAVEOOPS, sizeof(*n) - sizeof(n->head) };
	n->version = 1;
	n->reason = reason;
	n->region_size = reason == ARMED ? plan.region_size : 0;
	state.boot_params->setup_data = node;
}

/*
 * Says why, leaves a status node where no one else is, and lets entry.S start the plain kernel. A node for which
 * there is no place is not worth a boot: the plain kernel's decompressor follows the chain, after it has moved
 * itself to the end of the init_size bytes that it may use. What runs now must be among the avoided ranges.
 */
static void give_up(enum reason reason, const char *why)
{
	u64 align = plan.kernel_alignment;
	u64 buffer = MAX((image_base + align - 1) & ~(align - 1), plan.load_physical_addr), place;

	unarmed(reason, why);
	state.boot_params->loadflags &= (u8)~LOADFLAG_KASLR;
	avoid(buffer, plan.original_init_size);
	place = state.given_region ? state.given_region : place_region(LARGE_PAGE);
	if (place)
		chain_status_node(place - PAGE, reason);
}

/*
 * In: boot_params and the stub's own physical address. Returns when the machine is to boot unarmed; goes on in
 * relocated_main() of the copy otherwise.
 */
void entry_main(u64 boot_params, u64 stub)
{
	struct boot_params *bp = at(boot_params);
	u64 image_end = 0, copy, work, initrd;
	struct line why = { .used = 0 };
	int i;

	state.boot_params = bp;
	image_base = (u32)(stub - plan.stub_offset);
	if (!plan_is_intact()) {
		unarmed(PLAN_DAMAGED, "the plan in the image is damaged");
		return;
	}
	restore_header();
	sanitize();
	take_efi_map();
	for (i = 0; i < PART_COUNT; i++)
		image_end = MAX(image_end, (u64)plan.part[i].offset + plan.part[i].size);
	collect_avoided(image_end);
	if (find_damaged_part(&why)) {
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
	if (state.usable_count)
		sort_e820();
	state.original_entries = bp->e820_entries;
	memcpy(state.original, bp->e820, sizeof(bp->e820));
	for (i = 0; i < (int)state.original_entries; i++)
		if (bp->e820[i].type == E820_RAM && bp->e820[i].start < 0xa0000)
			state.low_ram_end = MIN(MAX(state.low_ram_end, bp->e820[i].start + bp->e820[i].size), 0xa0000ull);
	state.region = state.given_region ? state.given_region : place_region(plan.region_size);
	if (!state.region) {
		give_up(NO_ROOM_FOR_REGION, "no free RAM below 4 GiB for the crash region");
		return;
	}
	state.node = state.region - PAGE;
	if (!state.given_region && reserve_in_e820(state.region, state.region + plan.region_size)) {
		give_up(BAD_E820, "the E820 memory map has no free entry");
		return;
	}
	avoid(state.node, PAGE);
	state.avoid[0] = (struct range){ 0, 0 }; /* the image itself: its parts move away */
	/* A machine that boots plain must boot armed: arming must not take the RAM that the primary needs. */
	initrd = bp->ramdisk_size | (u64)bp->ext_ramdisk_size << 32;
	if (!place_kernel() || ram_size() < plan.kernel_size + 4 * initrd + LEAST_WORKING_ROOM) {
		memcpy(bp->e820, state.original, sizeof(bp->e820));
		bp->e820_entries = (u8)state.original_entries;
		avoid(image_base, image_end);
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
	state.rsdp = bp->acpi_rsdp_addr ? bp->acpi_rsdp_addr : state.efi_rsdp ? state.efi_rsdp : find_rsdp();

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

/* Back to the plain kernel after all: gives the image and E820 back as they were. */
static void undo(enum reason reason, const char *why)
{
	struct boot_params *bp = state.boot_params;

	memcpy(bp->e820, state.original, sizeof(bp->e820));
	bp->e820_entries = (u8)state.original_entries;
	if (state.saved_image)
		memcpy(at(image_base), at(state.saved_image), plan.stub_offset);
	avoid(image_base, plan.stub_offset);
	avoid(state.region, plan.region_size); /* this code runs there */
	give_up(reason, why);
}

/* In the copy: from here on the image may be overwritten. Returns when the machine is to boot unarmed. */
void relocated_main(void)
{
	build_identity_map();
	if (decompress()) {
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
