/*
 * Entry stub: applies the plan. Decides first (entry_main: nothing outside the stub is written), then moves itself
 * and what it needs into the future crash region and works from there (relocated_main), because the primary kernel
 * may go where the loader put this image. Any failure returns: entry.S then starts the untouched bzImage.
 */
#include "entry.h"
#include "line.h"
#include "messages.h"
#include "xxh32.h"

DEFINE_MEMORY_FUNCTIONS

struct entry_state state;

/* The setup header as the loader would have left it for the plain image. */
static void restore_header(void)
{
	struct boot_params *bp = state.boot_params;

	bp->syssize = plan.original_syssize;
	bp->init_size = plan.original_init_size;
	bp->code32_start = image_base;
}

/* ---- the way in ---- */

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

/*
 * Says why, leaves a status node where no one else is, and lets entry.S start the plain kernel: gives -1. A node for which
 * there is no place is not worth a boot: the plain kernel's decompressor follows the chain, after it has moved
 * itself to the end of the init_size bytes that it may use. What runs now must be among the avoided ranges.
 */
static int give_up(enum reason reason, const char *why)
{
	u64 align = plan.kernel_alignment;
	u64 buffer = MAX((image_base + align - 1) & ~(align - 1), plan.load_physical_addr), place;

	tell_unarmed(reason, why);
	state.boot_params->loadflags &= (u8)~LOADFLAG_KASLR;
	avoid(buffer, plan.original_init_size);
	place = place_region(LARGE_PAGE);
	if (place)
		chain_status_node(place - PAGE, reason);
	return -1;
}

/* End of the composed image from image_base on: its last part's. */
static u64 image_size(void)
{
	u64 end = 0;
	int i;

	for (i = 0; i < PART_COUNT; i++)
		end = MAX(end, (u64)plan.part[i].offset + plan.part[i].size);
	return end;
}

/* Each of the following gives 0, or -1 after give_up(). */

static int check_parts(void)
{
	int i;

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
		return give_up(PART_DAMAGED, why.text);
	}
	return 0;
}

static int read_memory_map(void)
{
	struct boot_params *bp = state.boot_params;
	u32 i;

	if (!bp->e820_entries || bp->e820_entries > E820_MAX)
		return give_up(BAD_E820, "no usable E820 memory map");
	if (option_is("mem_encrypt=", "on"))
		return give_up(MEM_ENCRYPT, "mem_encrypt=on is not supported");
	if (ram_top() > MAPPED_LIMIT)
		return give_up(TOO_MUCH_RAM, "RAM above 512 GiB is not supported");
	state.original_entries = bp->e820_entries;
	memcpy(state.original, bp->e820, sizeof(bp->e820));
	for (i = 0; i < state.original_entries; i++)
		if (bp->e820[i].type == E820_RAM && bp->e820[i].start < 0xa0000)
			state.low_ram_end = MIN(MAX(state.low_ram_end, bp->e820[i].start + bp->e820[i].size), 0xa0000ull);
	return 0;
}

static int choose_places(void)
{
	struct boot_params *bp = state.boot_params;
	u64 initrd = bp->ramdisk_size | (u64)bp->ext_ramdisk_size << 32;

	state.region = place_region(plan.region_size);
	if (!state.region)
		return give_up(NO_ROOM_FOR_REGION, "no free RAM below 4 GiB for the crash region");
	state.node = state.region - PAGE;
	if (reserve_in_e820(state.region, state.region + plan.region_size))
		return give_up(BAD_E820, "the E820 memory map has no free entry");
	avoid(state.node, PAGE);
	state.avoid[0] = (struct range){ 0, 0 }; /* the image itself: its parts move away */
	/* A machine that boots plain must boot armed: arming must not take the RAM that the primary needs. */
	if (!place_kernel() || ram_size() < plan.kernel_size + 4 * initrd + LEAST_WORKING_ROOM) {
		memcpy(bp->e820, state.original, sizeof(bp->e820));
		bp->e820_entries = (u8)state.original_entries;
		avoid(image_base, image_size());
		return give_up(NO_ROOM_FOR_KERNEL, "no free RAM for the kernel beside the crash region");
	}
	return 0;
}

/* 5-level paging is for kernels, CPUs and command lines that agree on it. */
static u32 wants_level5(void)
{
	u32 a, b, c, d;

	cpuid(0, 0, &a, &b, &c, &d);
	if (a < 7)
		return 0;
	cpuid(7, 0, &a, &b, &c, &d);
	return (plan.flags & PLAN_LEVEL5) && (c & (1u << 16)) && !find_option("no5lvl");
}

/* Copies size bytes to *to, which moves on to the next page. Gives where they are. */
static u64 put(u64 *to, const void *from, u64 size)
{
	u64 place = *to;

	memcpy(at(place), from, size);
	*to += (size + PAGE - 1) & ~(PAGE - 1);
	return place;
}

/* Writes the crash region, RAM that nobody uses, and goes on in the copy of this stub there. */
static void move(void)
{
	u64 work = state.region + plan.work_offset, stub_size = (u64)(stub_end - entry32);
	u64 copy = work;
	int i;

	memset(at(state.region), 0, PLACE_CRASH_KERNEL);
	for (i = PART_CRASH_KERNEL; i <= PART_NOTES; i++)
		memcpy(at(state.region + plan.part[i].place), part_bytes(i), plan.part[i].size);
	work += (stub_size + PAGE - 1) & ~(PAGE - 1);
	state.vmlinux = put(&work, part_bytes(PART_VMLINUX), plan.part[PART_VMLINUX].size);
	plan.part[PART_FIXUPS].offset =
		(u32)(put(&work, part_bytes(PART_FIXUPS), plan.part[PART_FIXUPS].size) - image_base);
	if (state.output < image_base + plan.stub_offset && image_base < state.output + plan.kernel_size)
		state.saved_image = put(&work, at(image_base), plan.stub_offset);
	memcpy(at(copy), entry32, stub_size); /* last: all that is decided goes with it */
	leave_image(copy);
}

/*
 * In: boot_params and the stub's own physical address. Returns when the machine is to boot unarmed; goes on in
 * relocated_main() of the copy otherwise.
 */
void entry_main(u64 boot_params, u64 stub)
{
	state.boot_params = at(boot_params);
	image_base = (u32)(stub - plan.stub_offset);
	if (!plan_is_intact()) {
		tell_unarmed(PLAN_DAMAGED, "the plan in the image is damaged");
		return;
	}
	restore_header();
	collect_avoided(image_size());
	if (check_parts() || read_memory_map() || choose_places())
		return;
	state.level5 = wants_level5();
	state.rsdp = state.boot_params->acpi_rsdp_addr ? state.boot_params->acpi_rsdp_addr : find_rsdp();
	move();
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
