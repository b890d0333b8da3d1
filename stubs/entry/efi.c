/*
 * The way in from UEFI: the kernel's own EFI stub, untouched, does all that it does in a plain boot; this code only
 * makes sure of getting control once more when it is through.
 *
 * 1. efi_move() runs where the loader has put the image, and writes nothing there. It copies the protected-mode part to
 *    memory of its own below 4 GiB: the store, which is "the image" for the rest of the entry stub.
 * 2. efi_continue() in the store gives the loaded image back as the kernel's stub knows it, has firmware reserve the
 *    crash region, asks to be told when boot services end, and calls the kernel's own entry.
 * 3. on_exit(), inside ExitBootServices, finds the kernel that the stub is about to enter and puts a call of
 *    efi_landing over its first instructions. landing.c goes on from there.
 *
 * Whatever fails here is said on the firmware's console, and the kernel's own entry is called all the same.
 */
#include "efi.h"
#include "messages.h"

struct efi_state efi;

static void say(struct efi_system *system, const char *text)
{
	struct efi_text_output *out = system->console_out;
	u16 piece[3];

	if (!out)
		return;
	for (; *text; text++) {
		u32 n = 0;

		if (*text == '\n')
			piece[n++] = '\r';
		piece[n++] = (u8)*text;
		piece[n] = 0;
		out->output_string(out, piece);
	}
}

/* ---- in the image as it was loaded ---- */

static u64 pages_for(u64 bytes)
{
	return (bytes + PAGE - 1) / PAGE;
}

/* Memory below 4 GiB, page-aligned; 0: none. */
static u64 allocate(const struct efi_system *system, u32 type, u64 bytes)
{
	u64 address = 4 * GIB - 1;

	return system->boot->allocate_pages(ALLOCATE_MAX_ADDRESS, type, pages_for(bytes), &address) ? 0 : address;
}

/* Firmware that maps what it gives as not executable has a protocol for who wants it otherwise. */
static void make_executable(const struct efi_system *system, u64 address, u64 bytes)
{
	static const struct efi_guid guid = { 0x4b4a40ecf4560cf6, 0x89b1d0571dbf92a1 };
	struct efi_memory_attributes *attributes = NULL;

	if (!system->boot->locate_protocol(&guid, NULL, (void **)&attributes) && attributes)
		attributes->clear(attributes, address, pages_for(bytes) * PAGE, EFI_MEMORY_XP | EFI_MEMORY_RO);
}

static u64 efi_continue(const struct efi_state *from);

/* In: as the entries in efi-entry.S have it; stub: the entry stub's address. Gives the kernel's status if that returns. */
u64 efi_move(u64 handle, struct efi_system *system, u64 boot_params, u64 stub, u64 pe)
{
	struct efi_state from = { .handle = handle, .system = system, .boot_params = boot_params, .pe = pe };
	u64 size = (u64)(stub_end - entry32), copy;

	from.base = stub - (pe ? plan.pe_stub_address : plan.stub_offset);
	from.store = allocate(system, EFI_LOADER_CODE, plan.image_size);
	if (from.store) {
		copy = from.store + plan.stub_offset;
		memcpy(at(from.store), at(from.base + (pe ? plan.setup_size : 0)), plan.original_size);
		memcpy(at(copy), at(stub), plan.image_size - plan.stub_offset);
	} else {
		/* What must run while the image becomes the plain kernel again. */
		copy = allocate(system, EFI_LOADER_CODE, size);
		if (!copy)
			return EFI_OUT_OF_RESOURCES;
		memcpy(at(copy), at(stub), size);
	}
	make_executable(system, copy, size);
	return ((u64(*)(const struct efi_state *))(copy + (usize)((char *)efi_continue - entry32)))(&from);
}

/* ---- in the store ---- */

static void write_field(u64 header, u32 offset, u32 value)
{
	write_protected(header + offset, &value, sizeof(value));
}

/*
 * The loaded image as the kernel's stub knows it. A stub before Linux 6.6 copies init_size bytes of itself elsewhere, and
 * takes the header from the PE image; memory behind the protected-mode part is its .bss.
 */
static void give_image_back(void)
{
	u64 header = efi.pe ? efi.base : efi.boot_params;

	u16 flags = (u16)plan.original_xloadflags;

	write_protected(header + __builtin_offsetof(struct boot_params, xloadflags), &flags, sizeof(flags));
	write_field(header, __builtin_offsetof(struct boot_params, syssize), plan.original_syssize);
	write_field(header, __builtin_offsetof(struct boot_params, init_size), plan.original_init_size);
	write_field(header, __builtin_offsetof(struct boot_params, handover_offset), plan.original_handover);
	if (efi.pe)
		write_field(header, __builtin_offsetof(struct boot_params, code32_start), 0x100000);
	else
		memset(at(efi.base + plan.original_size), 0, plan.image_size - plan.original_size);
}

static int reserve_from_firmware(void)
{
	struct efi_boot_services *boot = efi.system->boot;
	u64 wanted = plan.region_size + PAGE; /* the page below it is the status node's */
	u64 all = wanted + LARGE_PAGE, got = allocate(efi.system, EFI_RESERVED, all), start, end;

	if (!got)
		return -1;
	efi.region = (got + PAGE + LARGE_PAGE - 1) & ~(LARGE_PAGE - 1);
	start = efi.region - PAGE;
	end = start + wanted;
	if (start > got)
		boot->free_pages(got, (start - got) / PAGE);
	if (end < got + all)
		boot->free_pages(end, (got + all - end) / PAGE);
	return 0;
}

static int looks_like_startup(const u8 *bytes)
{
	u32 i;

	for (i = 0; i < STARTUP_PATTERN_SIZE; i++)
		if ((bytes[i] & plan.startup_mask[i]) != plan.startup[i])
			return 0;
	return 1;
}

static void patch(u64 place)
{
	u8 call[PATCH_SIZE] = { 0x48, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xd0 };
	u64 target = (usize)efi_landing;

	if (efi.patched == MAX_PATCHED)
		return;
	memcpy(call + 2, &target, sizeof(target));
	memcpy(efi.patch[efi.patched].before, at(place), PATCH_SIZE);
	efi.patch[efi.patched++].at = place;
	write_protected(place, call, sizeof(call));
}

/*
 * Which copy of the kernel will the stub enter? One that it has decompressed, or, for stubs that do not, the bzImage
 * itself where the loader has put it or where the stub has moved it. A copy that is not entered may be patched as well.
 */
static void patch_entry(u64 kernel)
{
	const u8 *packed = at(efi.store + 0x200);

	if (kernel == efi.store)
		return;
	if (looks_like_startup(at(kernel + plan.entry_offset))) {
		efi.decompressed = 1;
		patch(kernel + plan.entry_offset);
	} else if (!memcmp(at(kernel + 0x200), packed, STARTUP_PATTERN_SIZE)) {
		patch(kernel + 0x200);
	}
}

/*
 * Firmware's memory is its own no longer, but nothing of it is gone: all of it can be read. Called again when the kernel's
 * first try had an outdated map: then nothing is found that is not patched already.
 */
static EFIAPI void on_exit(void *event, void *context)
{
	u64 size = efi.map_size, key, each = 0, loaded = efi.base + (efi.pe ? plan.setup_size : 0), p, k;
	u64 step = plan.kernel_alignment;
	u32 version;

	(void)event;
	(void)context;
	if (!efi.region)
		return;
	patch_entry(loaded);
	if (efi.system->boot->get_memory_map(&size, efi.map, &key, &each, &version) || each < sizeof(struct efi_memory))
		size = 0;
	for (k = 0; k + each <= size && size; k += each) {
		const struct efi_memory *m = (const struct efi_memory *)(efi.map + k);
		u64 end = m->physical + m->pages * PAGE;

		if (m->type != EFI_LOADER_CODE && m->type != EFI_LOADER_DATA)
			continue;
		for (p = (m->physical + step - 1) & ~(step - 1); p + plan.entry_offset + 0x400 <= end; p += step)
			if (p != loaded)
				patch_entry(p);
	}
	/* The bzImage itself is always there, and a stub that decompresses does not enter it. */
	if (!efi.patched || ((plan.flags & PLAN_STUB_DECOMPRESSES) && !efi.decompressed)) {
		refuse(KERNEL_NOT_FOUND, "the kernel that its EFI stub is about to start was not found");
		tell_refusal_on_serial();
	}
}

/* Asks to be told when boot services end. The map then may be somewhat longer than now. */
static int await_exit(void)
{
	struct efi_boot_services *boot = efi.system->boot;
	u64 key, each;
	u32 version;
	void *event = NULL;

	boot->get_memory_map(&efi.map_size, NULL, &key, &each, &version);
	efi.map_size = 2 * efi.map_size + 4 * PAGE;
	if (boot->allocate_pool(EFI_LOADER_DATA, efi.map_size, (void **)&efi.map))
		return -1;
	return boot->create_event(EVT_SIGNAL_EXIT_BOOT_SERVICES, TPL_NOTIFY, (void *)on_exit, NULL, &event) ? -1 : 0;
}

static int prepare(void)
{
	if (!efi.store)
		return refuse(NO_ROOM_FOR_IMAGE, "no memory below 4 GiB for a copy of the image");
	if (!plan_is_intact())
		return refuse(PLAN_DAMAGED, "the plan in the image is damaged");
	if (check_parts())
		return -1;
	if (await_exit())
		return refuse(NO_EVENT, "firmware does not tell when boot services end");
	if (reserve_from_firmware())
		return refuse(NO_ROOM_FOR_REGION, "no free RAM below 4 GiB for the crash region");
	add_boot_partition(&efi.boot_partition, efi.system, efi.handle);
	return 0;
}

/* In the store, with firmware there. Gives the kernel's status if that returns. */
static u64 efi_continue(const struct efi_state *from)
{
	efi = *from;
	image_base = (u32)efi.store;
	give_image_back();
	if (prepare()) {
		struct line line = { .used = 0 };

		add_refusal(&line);
		say(efi.system, line.text);
	}
	if (efi.pe)
		return ((EFIAPI u64(*)(u64, struct efi_system *))(efi.base + plan.original_pe_entry))(efi.handle,
												      efi.system);
	return ((u64(*)(u64, struct efi_system *, u64))(efi.base + 0x200 + plan.original_handover))(
		efi.handle, efi.system, efi.boot_params);
}
