/*
 * The list lies on the file system that the module comes from: who can write it can write the module. So its sum is
 * against damage, and the bounds are what the checks of a region count on (after-reset.c).
 */
#include "kept-list.h"
#include "com32.h"
#include "xxh32.h"

#define LIST_NAME "after-reset.bin"
#define REGION_STEP 0x200000u /* sizes of regions are multiples of this */

static int region_is_sane(const struct kept_region *region)
{
	u32 i, size = region->region_size;

	if (size <= PLACE_CRASH_KERNEL || size % REGION_STEP)
		return 0;
	for (i = 0; i < KEPT_COUNT; i++)
		if (region->kept[i].place > size || region->kept[i].size > size - region->kept[i].place)
			return 0;
	/* What is entered is under the digest of the crash stub; the command line is read from behind its own part on. */
	return region->kept[KEPT_CRASH_STUB].place == PLACE_CRASH_STUB && region->reset_entry &&
	       region->reset_entry < region->kept[KEPT_CRASH_STUB].size &&
	       region->kept[KEPT_CMDLINE].place == PLACE_CMDLINE &&
	       region->kept[KEPT_CMDLINE].size < PLACE_FONT - PLACE_CMDLINE;
}

int kept_list_is_sane(struct kept_list *list)
{
	u32 i, sum = list->xxh32, found;

	list->xxh32 = 0;
	found = xxh32(list, sizeof(*list));
	list->xxh32 = sum;
	if (found != sum || list->magic != KEPT_LIST_MAGIC || list->version != SHARED_VERSION ||
	    list->count > MAX_KEPT_REGIONS)
		return 0;
	for (i = 0; i < list->count; i++)
		if (!region_is_sane(&list->region[i]))
			return 0;
	return 1;
}

int kept_list_name(const char *module, char *name, usize size)
{
	usize i, folder = 0, parent = 0;
	int folders = 0;

	for (i = 0; module[i]; i++) {
		if (module[i] != '/')
			continue;
		parent = folder;
		folder = i + 1;
		folders++;
	}
	if (!folders || parent + sizeof(LIST_NAME) > size)
		return 0;
	memcpy(name, module, parent);
	memcpy(name + parent, LIST_NAME, sizeof(LIST_NAME));
	return 1;
}

const struct kept_list *read_kept_list(const char *module)
{
	static struct kept_list list; /* not from malloc(): that would use memory that the dead kernel had */
	static char name[256];
	FILE *file;
	usize got;

	if (!kept_list_name(module, name, sizeof(name)))
		return NULL;
	file = findpath(name);
	if (!file)
		return NULL;
	got = _fread(&list, sizeof(list), file);
	fclose(file);
	return got == sizeof(list) && kept_list_is_sane(&list) ? &list : NULL;
}
