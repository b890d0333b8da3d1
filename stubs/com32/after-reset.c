/*
 * After a reset, BIOS only. RAM is as it was but for what firmware and Syslinux have used, and this module runs before it
 * reads anything large. Nothing found there is believed because of a sum that lies beside it, as root of the system that ran can
 * have written both: code and its parameters must be what the load table, this payload's own, has digests of, or the list
 * of the other payloads of the same menu (docs/security.md). The rest is checked against the sums of the boot that left it, to find what got lost.
 */
#include "after-reset.h"
#include "boot-params.h"
#include "com32.h"
#include "crash-table.h"
#include "kept-list.h"
#include "region-sum.h"
#include "sha256.h"
#include "stub-tables.h"
#include "xxh32.h"

#define LOW_MEMORY_END 0xa0000u
/* Syslinux loads modules and what it allocates from low addresses on: behind this one only a few small things come. */
#define ROOM_BEHIND_MODULE 0x40000u
#define GRAIN 0x10000u

extern char _end[]; /* of this module in memory */

static void *at(u32 address)
{
	return (void *)address;
}

static int digest_is(const void *data, u32 size, const u8 *wanted)
{
	u8 digest[32];

	sha256(data, size, digest);
	return !memcmp(digest, wanted, sizeof(digest));
}

static int is_running(u32 region)
{
	struct running copy = *(const struct running *)at(region + PLACE_RUNNING);

	if (copy.mark != RUNNING_MARK || copy.version != SHARED_VERSION || copy.region != region)
		return 0;
	copy.mark = 0;
	copy.xxh32 = 0;
	return xxh32(&copy, sizeof(copy)) == ((const struct running *)at(region + PLACE_RUNNING))->xxh32;
}

/* What the hook would have checked at a panic. */
static int sum_is_right(u32 region)
{
	return region_sum(region) == ((const struct running *)at(region + PLACE_RUNNING))->sum;
}

static int part_is_there(const struct kept_region *wanted, u32 region, int index)
{
	const struct kept_part *part = &wanted->kept[index];

	return digest_is(at(region + part->place), part->size, part->sha256);
}

/* One of the two ranges that the entry stub has written and digested: made for this machine, so no build knows them. */
static int range_is_intact(const struct crash_table *table, u32 start, u32 size)
{
	u32 i;

	for (i = 0; i < table->checked_count && i < MAX_CHECKED; i++)
		if (table->checked[i].start == start && table->checked[i].size == size)
			return digest_is(at(start), size, table->checked[i].sha256);
	return 0;
}

static int table_is_sane(const struct kept_region *wanted, u32 region)
{
	const struct crash_table *table = at(region + PLACE_CRASH_TABLE);

	return table->magic == CRASH_TABLE_MAGIC && table->region == region && table->region_size == wanted->region_size &&
	       table->code32_start == region + wanted->kept[KEPT_CRASH_KERNEL].place && table->ram_count <= MAX_RAM_RANGES &&
	       table->notes_size <= PLACE_NOTES_END - PLACE_NOTES &&
	       range_is_intact(table, region + PLACE_BOOT_PARAMS, PLACE_ELFCOREHDR - PLACE_BOOT_PARAMS) &&
	       range_is_intact(table, region + PLACE_NOTES, (u32)table->notes_size);
}

/* RAM to the crash kernel: its part of the region, and what lies below 640 KiB. */
static int map_is_sane(const struct boot_params *bp, u32 region, u32 size)
{
	u32 i;

	if (bp->e820_entries > E820_MAX)
		return 0;
	for (i = 0; i < bp->e820_entries; i++) {
		const struct e820_entry *entry = &bp->e820[i];
		u64 end = entry->start + entry->size;

		if (entry->type == E820_RESERVED || entry->type == E820_ACPI || entry->type == E820_NVS)
			continue;
		if (entry->type != E820_RAM || end < entry->start)
			return 0;
		if (end > LOW_MEMORY_END && (entry->start < region + PLACE_CRASH_KERNEL || end > region + size))
			return 0;
	}
	return 1;
}

/* What the entry stub fills in is as it fills it in; all else is the build's template. */
static int parameters_are_sane(const struct kept_region *wanted, u32 region)
{
	const struct kept_part *part = &wanted->kept[KEPT_BOOT_PARAMS], *initrd = &wanted->kept[KEPT_CRASH_INITRD];
	struct boot_params bp = *(const struct boot_params *)at(region + PLACE_BOOT_PARAMS);

	if (part->size != sizeof(bp) || bp.code32_start != region + wanted->kept[KEPT_CRASH_KERNEL].place ||
	    bp.ramdisk_image != region + initrd->place || bp.ramdisk_size != initrd->size ||
	    bp.cmd_line_ptr != region + PLACE_CMDLINE || !map_is_sane(&bp, region, wanted->region_size))
		return 0;
	memset(bp.screen_info, 0, sizeof(bp.screen_info));
	memset(bp.e820, 0, sizeof(bp.e820));
	bp.acpi_rsdp_addr = 0;
	bp.e820_entries = 0;
	bp.code32_start = bp.ramdisk_image = bp.ramdisk_size = bp.cmd_line_ptr = 0;
	return digest_is(&bp, sizeof(bp), part->sha256);
}

/* The build's command line, and behind it only words that the entry stub adds, or lets a person add. */
static int words_are_sane(const struct kept_region *wanted, u32 region)
{
	static const char *const known[] = { "elfcorehdr=", "saveoops.", "lockdown=" };
	const char *p = at(region + PLACE_CMDLINE), *end = at(region + PLACE_FONT);
	u32 i;

	if (!part_is_there(wanted, region, KEPT_CMDLINE))
		return 0;
	for (p += wanted->kept[KEPT_CMDLINE].size; p < end && *p; ) {
		if (*p++ != ' ')
			return 0;
		for (i = 0; i < sizeof(known) / sizeof(*known); i++)
			if (!memcmp(p, known[i], strlen(known[i])))
				break;
		if (i == sizeof(known) / sizeof(*known))
			return 0;
		while (p < end && *p && *p != ' ')
			p++;
	}
	return p < end;
}

/*
 * The cheap checks come first, and each makes the next one's reads safe.
 * room: bytes of RAM from the region's start on
 */
static int is_of(const struct kept_region *wanted, u32 region, u32 room)
{
	return wanted->region_size <= room && table_is_sane(wanted, region) && parameters_are_sane(wanted, region) &&
	       words_are_sane(wanted, region) && part_is_there(wanted, region, KEPT_CRASH_STUB) &&
	       part_is_there(wanted, region, KEPT_CRASH_KERNEL) && part_is_there(wanted, region, KEPT_CRASH_INITRD);
}

/* Which payload's kernel has left this region: this one's, or another of the same menu. NULL: none that is known. */
static const struct kept_region *find_kept(const struct kept_region *own, const char *module, u32 region, u32 room)
{
	const struct kept_list *list;
	u32 i;

	if (!sum_is_right(region))
		return NULL;
	if (is_of(own, region, room))
		return own;
	list = read_kept_list(module);
	for (i = 0; list && i < list->count; i++)
		if (is_of(&list->region[i], region, room))
			return &list->region[i];
	return NULL;
}

/* Returns when Syslinux cannot. */
static void start_crash_stub(const struct kept_region *found, struct syslinux_memmap *map, u32 region)
{
	u32 lost = ((u32)_end + ROOM_BEHIND_MODULE + GRAIN - 1) & ~(GRAIN - 1);
	struct syslinux_pm_regs regs = { .ebx = region, .esi = lost, .eip = region + found->reset_entry };

	/* Under these the crash stub runs before anything of it can check them: not those that root could have written. */
	write_stub_tables(region, found->region_size, 0);
	syslinux_force_text_mode();
	printf("\nsaveoops: the system before ended without a word: capturing its log\n");
	/* Syslinux needs memory for the step itself. It would take it where there is most: from the dead kernel. */
	if (!syslinux_add_memmap(&map, lost, 0u - lost, MEMORY_RESERVED))
		syslinux_shuffle_boot_pm(NULL, map, 0, &regs);
}

void capture_after_reset(const struct kept_region *own, const char *module)
{
	struct syslinux_memmap *map, *range;
	u32 region;

	if (!own->reset_entry)
		return;
	map = syslinux_memory_map();
	for (range = map; range && range->type != MEMORY_END; range = range->next) {
		const struct kept_region *found;
		u32 end = range->next->start;

		/* A region of another payload may be smaller: what has no 2 MiB is none. */
		if (range->type != MEMORY_FREE || end < STUB_LARGE_PAGE)
			continue;
		region = (range->start + STUB_LARGE_PAGE - 1) & ~(STUB_LARGE_PAGE - 1);
		for (; region && region >= range->start && region <= end - STUB_LARGE_PAGE; region += STUB_LARGE_PAGE) {
			if (!is_running(region))
				continue;
			/* Once only, whatever comes of it: a capture that fails must not keep this machine from booting. */
			((struct running *)at(region + PLACE_RUNNING))->mark = 0;
			found = find_kept(own, module, region, end - region);
			if (found) {
				start_crash_stub(found, map, region);
				return;
			}
		}
	}
}
