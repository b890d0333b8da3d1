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
	bp->xloadflags = (u16)plan.original_xloadflags;
	bp->handover_offset = plan.original_handover;
	bp->code32_start = image_base;
}

/* ---- the way in ---- */

int plan_is_intact(void)
{
	struct plan copy = plan;

	copy.xxh32 = 0;
	return plan.magic == PLAN_MAGIC && plan.version == SHARED_VERSION && xxh32(&copy, sizeof(copy)) == plan.xxh32;
}

/*
 * Says why, leaves a status node where no one else is, and lets entry.S start the plain kernel. A node for which
 * there is no place is not worth a boot: the plain kernel's decompressor follows the chain, after it has moved
 * itself to the end of the init_size bytes that it may use. What runs now must be among the avoided ranges.
 */
static void give_up(void)
{
	u64 align = plan.kernel_alignment;
	u64 buffer = MAX((image_base + align - 1) & ~(align - 1), plan.load_physical_addr), place;

	tell_refusal();
	state.boot_params->loadflags &= (u8)~LOADFLAG_KASLR;
	avoid(buffer, plan.original_init_size);
	place = state.given_region ? state.given_region : place_region(LARGE_PAGE);
	if (place)
		chain_status_node(place - PAGE, refusal.reason);
}

/* The primary's own payload serves: no second copy of it is in the image. */
static int uses_own_payload(void)
{
	return plan.part[PART_VMLINUX].offset < plan.original_size;
}

int check_parts(void)
{
	int i;

	for (i = 0; i < PART_COUNT; i++) {
		struct line why = { .used = 0 };

		/* The leading bzImage is the loader's to check: it is what boots when anything here fails. */
		if (i == PART_CRASH_KERNEL && !(plan.flags & PLAN_OWN_CRASH_KERNEL))
			continue;
		if (i == PART_VMLINUX && uses_own_payload() && image_checked)
			continue;
		if (xxh32(part_bytes(i), plan.part[i].size) == plan.part[i].xxh32)
			continue;
		add_text(&why, "part ");
		add_decimal(&why, (u64)i);
		add_text(&why, " of the payload is damaged");
		return refuse(PART_DAMAGED, why.text);
	}
	return 0;
}

static int check_options(void)
{
	return option_is("mem_encrypt=", "on") ? refuse(MEM_ENCRYPT, "mem_encrypt=on is not supported") : 0;
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
	u64 crash_kernel = state.region + plan.part[PART_CRASH_KERNEL].place;
	int i, kept = !(plan.flags & PLAN_OWN_CRASH_KERNEL); /* the leading bzImage, as the crash kernel */

	memset(at(state.region), 0, PLACE_CRASH_KERNEL);
	for (i = PART_CRASH_KERNEL; i <= PART_FONT; i++)
		memcpy(at(state.region + plan.part[i].place), part_bytes(i), plan.part[i].size);
	work += (stub_size + PAGE - 1) & ~(PAGE - 1);
	if (kept && uses_own_payload())
		state.vmlinux = crash_kernel + plan.part[PART_VMLINUX].offset;
	else
		state.vmlinux = put(&work, part_bytes(PART_VMLINUX), plan.part[PART_VMLINUX].size);
	plan.part[PART_EDITS].offset =
		(u32)(put(&work, part_bytes(PART_EDITS), plan.part[PART_EDITS].size) - image_base);
	plan.part[PART_FIXUPS].offset =
		(u32)(put(&work, part_bytes(PART_FIXUPS), plan.part[PART_FIXUPS].size) - image_base);
	plan.part[PART_FONT].offset = (u32)(state.region + PLACE_FONT - image_base);
	if (state.output < image_base + plan.stub_offset && image_base < state.output + plan.kernel_size)
		state.saved_image = kept ? crash_kernel : put(&work, at(image_base), plan.original_size);
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
		refuse(PLAN_DAMAGED, "the plan in the image is damaged");
		tell_refusal();
		return;
	}
	restore_header();
	sanitize_boot_params();
	if (collect_avoided(plan.image_size) || read_memory() || check_parts() || check_options() || choose_places()) {
		give_up();
		return;
	}
	state.level5 = wants_level5();
	state.rsdp = state.boot_params->acpi_rsdp_addr;
	if (!state.rsdp)
		state.rsdp = efi_rsdp();
	if (!state.rsdp)
		state.rsdp = find_rsdp();
	move();
}

/* ---- the copy at work ---- */

/* Back to the plain kernel after all: gives the image and E820 back as they were. */
static void undo(void)
{
	release_region();
	if (state.saved_image)
		memcpy(at(image_base), at(state.saved_image), plan.original_size);
	avoid(image_base, plan.stub_offset); /* the region, where this code runs, is avoided already */
	give_up();
}

/* In the copy: from here on the image may be overwritten. Returns when the machine is to boot unarmed. */
void relocated_main(void)
{
	build_identity_map();
	write_cr3((usize)boot_pml4);
	if (decompress() || apply_edits() || relocate() || arm()) {
		undo();
		return;
	}
	chain_status_node(state.node, ARMED);
	state.boot_params->acpi_rsdp_addr = state.rsdp;
	enter_kernel(state.output + plan.entry_offset, state.delta, (usize)state.boot_params,
		     state.level5 ? (usize)boot_pml5 : 0);
}
