/*
 * The entry stub's side of UEFI on the host, for tests: a firmware of a few functions, which refuses what the argument says, and a
 * kernel whose EFI stub only exits boot services. Prints as JSON what the console and the serial port said, and the two memory maps
 * of a boot that ends unarmed.
 *
 *   efi image | event | region | kernel    E40, E41, E05, E42: no memory for the image, no event, no region, no kernel to be found
 *   efi decompressed | packed              the bzImage is there, and the kernel's stub does not enter it: E42; or does
 *   efi give-back ENTRIES                  the region given back, in an E820 map of so many entries; all that the kernel's stub has
 *                                          made lies above 4 GiB
 *
 * Linked below 4 GiB, where the store of a machine lies.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#undef NULL
#define on_exit on_exit_boot_services /* the C library has one */
#include "../entry/efi.c"
#include "../entry/landing.c"

#define REGION_SIZE (4 * MIB)
#define IMAGE_SIZE (64 * 1024)
#define ABOVE 0x200000000000 /* behind what the address sanitizer has for itself, from 2 GiB on */

struct entry_state state;
struct plan plan;
u32 image_base;
char entry32[1], stub_end[1], efi_landing[1];
u64 efi_came_from, efi_stub_boot_params;

static const char *refused;
static u8 store[IMAGE_SIZE] __attribute__((aligned(4096)));
static char console[512], serial[512];
static u32 kernel_calls;
static EFIAPI void (*exit_event)(void *event, void *context);

static int refuses(const char *what)
{
	return !strcmp(refused, what);
}

int plan_is_intact(void)
{
	return 1;
}

int check_parts(void)
{
	return 0;
}

void add_boot_partition(struct line *line, const struct efi_system *system, u64 handle)
{
	(void)line;
	(void)system;
	(void)handle;
}

void write_protected(u64 address, const void *bytes, usize size)
{
	memcpy(at(address), bytes, size);
}

void tell_refusal_on_serial(void)
{
	struct line line = { .used = 0 };

	add_refusal(&line);
	strcat(serial, line.text);
}

static EFIAPI u64 output_string(struct efi_text_output *self, const u16 *text)
{
	usize n = strlen(console);

	(void)self;
	for (; *text; text++)
		console[n++] = (char)*text;
	return 0;
}

static EFIAPI u64 allocate_pages(u32 how, u32 type, u64 pages, u64 *address)
{
	if (refuses("region") && type == EFI_RESERVED)
		return EFI_OUT_OF_RESOURCES;
	if (how != ALLOCATE_MAX_ADDRESS || *address != 4 * GIB - 1)
		return EFI_ERROR | 2;
	*address = 3 * GIB - pages * PAGE;
	return 0;
}

static EFIAPI u64 free_pages(u64 address, u64 pages)
{
	return address % PAGE || !pages;
}

/* One range of the loader, without a kernel in it. */
static EFIAPI u64 get_memory_map(u64 *size, void *map, u64 *key, u64 *each, u32 *version)
{
	static u8 empty[4 * MIB] __attribute__((aligned(2 << 20)));
	struct efi_memory one = { .type = EFI_LOADER_DATA, .physical = (usize)empty, .pages = sizeof(empty) / PAGE };

	*key = 1;
	*version = 1;
	*each = sizeof(one);
	if (!map || *size < sizeof(one)) {
		*size = sizeof(one);
		return EFI_ERROR | 5;
	}
	memcpy(map, &one, sizeof(one));
	*size = sizeof(one);
	return 0;
}

static EFIAPI u64 allocate_pool(u32 type, u64 size, void **buffer)
{
	*buffer = calloc(1, size);
	return type != EFI_LOADER_DATA || !*buffer;
}

static EFIAPI u64 create_event(u32 type, u64 tpl, void *notify, void *context, void **event)
{
	(void)context;
	if (refuses("event") || type != EVT_SIGNAL_EXIT_BOOT_SERVICES || tpl != TPL_NOTIFY)
		return EFI_OUT_OF_RESOURCES;
	exit_event = notify;
	*event = &exit_event;
	return 0;
}

/* The kernel's own PE entry: its stub. */
static EFIAPI u64 kernel_entry(u64 handle, struct efi_system *system)
{
	kernel_calls += handle == 42 && system->console_out;
	if (exit_event)
		exit_event(&exit_event, NULL);
	return 7;
}

static void print_text(const char *name, const char *text)
{
	printf("\"%s\": \"", name);
	for (; *text; text++)
		if (*text >= ' ')
			putchar(*text);
		else
			printf("\\%c", *text == '\n' ? 'n' : 'r');
	printf("\", ");
}

static void boot(void)
{
	static struct efi_text_output out = { .output_string = output_string };
	static struct efi_boot_services services = {
		.allocate_pages = allocate_pages, .free_pages = free_pages, .get_memory_map = get_memory_map,
		.allocate_pool = allocate_pool, .create_event = create_event,
	};
	static struct efi_system system = { .console_out = &out, .boot = &services };
	/* Below this program, so that the kernel's entry lies behind its start. */
	u8 *image = mmap((void *)0x100000, IMAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	struct efi_state from = { .handle = 42, .system = &system, .base = (usize)image, .pe = 1, .store = (usize)store };
	u64 status;

	if (refuses("image"))
		from.store = 0;
	plan.setup_size = PAGE;
	plan.region_size = REGION_SIZE;
	plan.kernel_alignment = LARGE_PAGE;
	plan.entry_offset = 0x100;
	plan.original_pe_entry = (u32)((usize)kernel_entry - (usize)image);
	memset(plan.startup, 0x5a, sizeof(plan.startup));
	memset(plan.startup_mask, 0xff, sizeof(plan.startup_mask));
	memset(store + 0x200, 0xa5, STARTUP_PATTERN_SIZE);
	if (refuses("decompressed") || refuses("packed"))
		memset(image + plan.setup_size + 0x200, 0xa5, STARTUP_PATTERN_SIZE);
	if (refuses("decompressed"))
		plan.flags = PLAN_STUB_DECOMPRESSES;
	status = efi_continue(&from);
	printf("{");
	print_text("console", console);
	print_text("serial", serial);
	printf("\"reason\": %u, \"kernelCalls\": %u, \"status\": %llu, \"patched\": %llu}\n", refusal.reason, kernel_calls, status,
	       efi.patched);
}

static void give_back(u32 entries)
{
	u8 *above = mmap((void *)ABOVE, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	struct boot_params *bp = (struct boot_params *)above;
	u8 *map = above + PAGE, *longer = above + 2 * PAGE;
	const u64 region = 0x40000000, wanted[3][3] = {
		{ EFI_CONVENTIONAL, 0x30000000, 0x0ffff000 },
		{ EFI_RESERVED, region - PAGE, REGION_SIZE + 3 * PAGE },
		{ EFI_CONVENTIONAL, region + REGION_SIZE + 2 * PAGE, 0x100000 },
	};
	u64 copy;
	u32 i;

	for (i = 0; i < 3; i++)
		*(struct efi_memory *)(map + 48 * i) = (struct efi_memory){ (u32)wanted[i][0], 0, wanted[i][1], 0, wanted[i][2] / PAGE, 15 };
	efi.region = region;
	efi.map = longer;
	efi.map_size = 6 * 48;
	plan.region_size = REGION_SIZE;
	bp->efi_memmap = (u32)(usize)map;
	bp->efi_memmap_hi = (u32)((usize)map >> 32);
	bp->efi_memmap_size = 3 * 48;
	bp->efi_memdesc_size = 48;
	for (i = 0; i < entries; i++)
		bp->e820[i] = (struct e820_entry){ (u64)i << 20, 1 << 20, E820_RAM };
	bp->e820[entries / 2] = (struct e820_entry){ wanted[1][1], wanted[1][2], E820_RESERVED };
	bp->e820_entries = (u8)entries;
	efi_stub_boot_params = (usize)bp;
	copy = landed();
	printf("{\"copyIsBelow\": %u, \"copyIsEqual\": %u, ", copy < 4 * GIB, !memcmp(at(copy), bp, PAGE));
	landed_params.setup_data = region - PAGE;
	give_kernel_back();
	printf("\"status\": \"0x%llx\", \"given\": \"0x%llx\", \"e820\": [", bp->setup_data, state.given_region);
	for (i = 0; i < bp->e820_entries; i++)
		printf("%s[\"0x%llx\", \"0x%llx\", %u]", i ? ", " : "", bp->e820[i].start, bp->e820[i].start + bp->e820[i].size,
		       bp->e820[i].type);
	printf("], \"efi\": [");
	for (i = 0; i < bp->efi_memmap_size; i += 48) {
		const struct efi_memory *d = at((bp->efi_memmap | (u64)bp->efi_memmap_hi << 32) + i);

		printf("%s[\"0x%llx\", \"0x%llx\", %u]", i ? ", " : "", d->physical, d->physical + d->pages * PAGE, d->type);
	}
	printf("]}\n");
}

int main(int count, char **words)
{
	refused = count > 1 ? words[1] : "";
	if (!strcmp(refused, "give-back"))
		give_back(count > 2 ? (u32)atoi(words[2]) : 4);
	else
		boot();
	return 0;
}
