/*
 * The entry stub's decisions about memory on the host, for tests: cases come on standard input, one command a line, and each
 * `run` prints what was decided as one line of JSON. All numbers are hexadecimal; sizes and addresses are bytes.
 *
 *  plan REGION KERNEL ALIGN LOAD FLAGS   fields of struct plan: sizes, alignment, lowest address of the kernel, PLAN_*
 *  image START SIZE                      where the loader put the composed image
 *  initrd START SIZE
 *  e820 START SIZE TYPE                  an entry; those behind the 128th go to a SETUP_E820_EXT node
 *  line TEXT                             the command line
 *  msr NUMBER VALUE
 *  default-limit ADDRESS                 below it the default MTRR type counts
 *  nodes COUNT | loop                    setup_data nodes without meaning; a chain without end
 *  node ADDRESS                          one more, at an address from 17 TiB on, which the sanitizer does not use
 *  cpu BITS GIB_PAGES                    width of physical addresses, at most 46; whether there are 1 GiB pages
 *  indirect START SIZE                   a node of type SETUP_INDIRECT
 *  efi TYPE START PAGES ATTRIBUTE        a descriptor of the EFI memory map; efi_info says EL64
 *  above                                 the EFI memory map lies above 4 GiB
 *  region START                          the crash region, taken from firmware
 *  dirty                                 boot_params has rubbish where a careless loader leaves it
 *  run
 *
 * Linked below 4 GiB, where the stub's identity map begins: what the "loader" places are variables of this program. "mapped"
 * in the output is that map as the processor would read it, with what it leads to, if the kernel is to be entered by it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#undef NULL
#include "entry.h"
#include "messages.h"
#include "mtrr.h"

#define MAX_ENTRIES 600
#define MAX_NODES 300
#define MAX_FAR_NODES 8

struct entry_state state;
struct plan plan;
u32 image_base;
u64 boot_pml4[512] __attribute__((aligned(4096))), boot_pml5[512] __attribute__((aligned(4096)));
u64 boot_pdpt[512] __attribute__((aligned(4096))), boot_pd[2048] __attribute__((aligned(4096)));
u64 extra_tables[512 * EXTRA_TABLES] __attribute__((aligned(4096)));

static u32 address_bits;
static int gib_pages;
static struct setup_data *far_nodes[MAX_FAR_NODES];
static u32 far_count;
static struct boot_params boot_params;
static char line[4096];
static u64 image_size;
static struct e820_entry entries[MAX_ENTRIES];
static u32 entry_count;
static u64 msrs[0x1000], default_limit;
static struct setup_data nodes[MAX_NODES];
static u32 node_count;
static int is_loop;
static struct {
	struct setup_data head;
	struct setup_indirect to;
} indirect;
static struct {
	struct setup_data head;
	struct e820_entry entry[MAX_ENTRIES];
} extension;

static u8 *descriptors;
static u32 descriptor_count;

int has_gib_pages(void)
{
	return gib_pages;
}

u64 address_limit(void)
{
	return 1ull << address_bits;
}

/* Memory for the EFI map at that address. */
static u8 *map_at(u64 address)
{
	return mmap(at(address), 48 * MAX_ENTRIES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
}

static u64 fake_msr(u32 msr)
{
	return msrs[msr];
}

void mark_slow_ram(struct memory_map *map)
{
	mark_uncached(map, fake_msr, default_limit);
}

static void start_case(void)
{
	memset(&state, 0, sizeof(state));
	memset(&plan, 0, sizeof(plan));
	memset(&refusal, 0, sizeof(refusal));
	memset(&boot_params, 0, sizeof(boot_params));
	memset(line, 0, sizeof(line));
	memset(msrs, 0, sizeof(msrs));
	memset(&indirect, 0, sizeof(indirect));
	while (far_count)
		munmap(far_nodes[--far_count], PAGE);
	entry_count = node_count = descriptor_count = 0;
	descriptors = map_at(0x10000000);
	address_bits = 46;
	gib_pages = 1;
	/* What entry32 leaves, as far as anything looks at it. */
	memset(boot_pml4, 0, PAGE);
	boot_pml4[0] = (usize)boot_pdpt | 3;
	is_loop = 0;
	image_base = 0;
	image_size = 0;
	default_limit = ~0ull;
}

static void chain(struct setup_data *node)
{
	node->next = boot_params.setup_data;
	boot_params.setup_data = (usize)node;
}

static void place(void)
{
	u32 i, extended = entry_count > E820_MAX ? entry_count - E820_MAX : 0;

	state.boot_params = &boot_params;
	if (descriptor_count) {
		boot_params.efi_signature = EFI_SIGNATURE_64;
		boot_params.efi_memmap = (u32)(usize)descriptors;
		boot_params.efi_memmap_hi = (u32)((usize)descriptors >> 32);
		boot_params.efi_memmap_size = 48 * descriptor_count;
		boot_params.efi_memdesc_size = 48;
	}
	boot_params.cmd_line_ptr = (u32)(usize)line;
	boot_params.e820_entries = (u8)(entry_count - extended);
	memcpy(boot_params.e820, entries, (entry_count - extended) * sizeof(*entries));
	for (i = 0; i < node_count; i++) {
		nodes[i] = (struct setup_data){ 0, 3, 0 };
		chain(&nodes[i]);
	}
	for (i = 0; i < far_count; i++)
		chain(far_nodes[i]);
	if (is_loop)
		nodes[0].next = boot_params.setup_data;
	if (indirect.to.len)
		chain(&indirect.head);
	if (extended) {
		extension.head = (struct setup_data){ 0, SETUP_E820_EXT, extended * sizeof(*entries) };
		memcpy(extension.entry, entries + E820_MAX, extended * sizeof(*entries));
		chain(&extension.head);
	}
}

static void print_map(const char *name, const struct memory_map *map)
{
	u32 i;

	printf(", \"%s\": [", name);
	for (i = 0; i < map->count; i++)
		printf("%s[\"0x%llx\", \"0x%llx\", %u]", i ? ", " : "", map->span[i].start, map->span[i].end,
		       map->span[i].type);
	printf("]");
}

static u64 mapped_start, mapped_end, mapped_to;

static void print_mapped(void)
{
	if (mapped_end > mapped_start)
		printf("%s[\"0x%llx\", \"0x%llx\", \"0x%llx\"]", mapped_start ? ", " : "", mapped_start, mapped_end,
		       mapped_to);
}

/* Intel SDM vol. 3, 4.5: level 3 is the top table of four, an entry of level 2 or 1 with bit 7 a page. Neighbours are printed as one. */
static void walk(const u64 *table, int level, u64 address)
{
	u32 i;

	for (i = 0; i < 512; i++) {
		u64 here = address + ((u64)i << (12 + 9 * level)), size = 1ull << (12 + 9 * level);
		u64 to = table[i] & 0x000ffffffffff000ull;

		if (!(table[i] & 1))
			continue;
		if (level && !(table[i] & 0x80)) {
			walk(at(to), level - 1, here);
			continue;
		}
		if (here == mapped_end && to - mapped_to == here - mapped_start) {
			mapped_end += size;
			continue;
		}
		print_mapped();
		mapped_start = here;
		mapped_end = here + size;
		mapped_to = to;
	}
}

static void print_identity_map(void)
{
	build_identity_map();
	printf(", \"mapped\": [");
	mapped_start = mapped_end = 0;
	walk(boot_pml4, 3, 0);
	print_mapped();
	printf("]");
}

static void run(void)
{
	static struct boot_params crash;
	static struct memory_map crash_map;
	const u64 own[][2] = {
		{ (usize)&boot_params, PAGE },
		{ (usize)line, strlen(line) + 1 },
		{ (usize)nodes, node_count * sizeof(*nodes) },
		{ (usize)&indirect, indirect.to.len ? sizeof(indirect) : 0 },
		{ (usize)&extension, boot_params.setup_data == (usize)&extension ? sizeof(extension.head) + extension.head.len : 0 },
	};
	u32 i, crash_fits = 1;

	sanitize_boot_params();
	if (!collect_avoided(image_size) && !read_memory() && !choose_places())
		crash_fits = !crash_e820(&crash);
	for (i = 0; i < crash.e820_entries && !refusal.reason; i++)
		map_add(&crash_map, crash.e820[i].start, crash.e820[i].size, crash.e820[i].type);
	printf("{\"reason\": %u, \"why\": \"%s\", \"region\": \"0x%llx\", \"output\": \"0x%llx\", \"entries\": %u, ", refusal.reason,
	       refusal.why.text, state.region, state.output, boot_params.e820_entries);
	printf("\"lowRamEnd\": \"0x%llx\", \"rsdp\": \"0x%llx\", \"crashFits\": %u, \"own\": [", state.low_ram_end, boot_params.acpi_rsdp_addr,
	       crash_fits);
	for (i = 0; i < sizeof(own) / sizeof(*own); i++)
		printf("%s[\"0x%llx\", \"0x%llx\"]", i ? ", " : "", own[i][0], own[i][0] + own[i][1]);
	printf("]");
	print_map("memory", &state.memory);
	print_map("free", &state.free);
	print_map("crash", &crash_map);
	print_identity_map();
	printf("}\n");
	crash_map.count = 0;
}

int main(void)
{
	static char text[8192];

	start_case();
	while (fgets(text, sizeof(text), stdin)) {
		u64 n[5] = { 0 };
		char *end = strchr(text, '\n'), *rest = strchr(text, ' ');
		u32 i;

		if (end)
			*end = 0;
		if (rest && strncmp(text, "line ", 5)) {
			char *p = rest;

			for (i = 0; i < 5 && *p; i++)
				n[i] = strtoull(p, &p, 16);
		}
		if (!strncmp(text, "plan ", 5)) {
			plan.region_size = n[0];
			plan.kernel_size = n[1];
			plan.kernel_alignment = n[2];
			plan.load_physical_addr = n[3];
			plan.flags = (u32)n[4];
			plan.kernel_image_size = GIB;
		} else if (!strncmp(text, "image ", 6)) {
			image_base = (u32)n[0];
			image_size = n[1];
		} else if (!strncmp(text, "initrd ", 7)) {
			boot_params.ramdisk_image = (u32)n[0];
			boot_params.ext_ramdisk_image = (u32)(n[0] >> 32);
			boot_params.ramdisk_size = (u32)n[1];
		} else if (!strncmp(text, "e820 ", 5) && entry_count < MAX_ENTRIES) {
			entries[entry_count++] = (struct e820_entry){ n[0], n[1], (u32)n[2] };
		} else if (!strncmp(text, "line ", 5) && strlen(rest + 1) < sizeof(line)) {
			strcpy(line, rest + 1);
		} else if (!strncmp(text, "msr ", 4) && n[0] < sizeof(msrs) / sizeof(*msrs)) {
			msrs[n[0]] = n[1];
		} else if (!strncmp(text, "default-limit ", 14)) {
			default_limit = n[0];
		} else if (!strncmp(text, "nodes ", 6) && n[0] <= MAX_NODES) {
			node_count = (u32)n[0];
		} else if (!strncmp(text, "node ", 5) && far_count < MAX_FAR_NODES) {
			struct setup_data *node = mmap(at(n[0] & ~(PAGE - 1)), PAGE, PROT_READ | PROT_WRITE,
						       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

			if ((usize)node != n[0]) {
				fprintf(stderr, "no page at 0x%llx: %s\n", n[0], strerror(errno));
				return 1;
			}
			*node = (struct setup_data){ 0, 3, 0 };
			far_nodes[far_count++] = node;
		} else if (!strncmp(text, "cpu ", 4)) {
			address_bits = (u32)n[0];
			gib_pages = (int)n[1];
		} else if (!strcmp(text, "loop")) {
			is_loop = 1;
			node_count = MAX(node_count, 2u);
		} else if (!strncmp(text, "indirect ", 9)) {
			indirect.head = (struct setup_data){ 0, SETUP_INDIRECT, sizeof(indirect.to) };
			indirect.to = (struct setup_indirect){ 0, 0, n[1], n[0] };
		} else if (!strncmp(text, "efi ", 4) && descriptor_count < MAX_ENTRIES) {
			u64 *d = (u64 *)(descriptors + 48 * descriptor_count++);

			d[0] = n[0];
			d[1] = n[1];
			d[2] = 0;
			d[3] = n[2];
			d[4] = n[3];
		} else if (!strcmp(text, "above")) {
			descriptors = map_at(0x200000000000); /* below is the address sanitizer's, from 2 GiB on */
		} else if (!strncmp(text, "region ", 7)) {
			state.given_region = n[0];
		} else if (!strcmp(text, "dirty")) {
			boot_params.sentinel = 0xff;
			boot_params.acpi_rsdp_addr = 0x2067736d20206f4e;
			boot_params.ext_ramdisk_image = boot_params.ext_ramdisk_size = boot_params.ext_cmd_line_ptr = 6;
		} else if (!strcmp(text, "run")) {
			place();
			run();
			start_case();
		} else {
			fprintf(stderr, "not understood: %s\n", text);
			return 1;
		}
	}
	return 0;
}
