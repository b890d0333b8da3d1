/*
 * Which partition firmware has loaded the image from, for --save boot: the device path of the image's device (UEFI
 * specification 2.10: loaded image protocol 9.1, device path nodes 10.3, hard drive media node 10.3.5.1). The boot loader's
 * partition where the loader hands on its own image (the handover entry). Nothing is guessed: a network, a CD-ROM and a
 * disk without partitions have no such node.
 */
#include "efi.h"

#define NODE_MEDIA 4
#define NODE_HARD_DRIVE 1
#define NODE_END 0x7f
#define MAX_NODES 64
#define SIGNATURE_MBR 1
#define SIGNATURE_GUID 2

struct loaded_image {
	u32 revision;
	u32 pad;
	u64 parent;
	struct efi_system *system;
	u64 device;
};

struct node {
	u8 type;
	u8 subtype;
	u16 size; /* bytes, all of it */
} __attribute__((packed));

struct hard_drive_node {
	struct node node;
	u32 number;
	u64 start; /* in the disk's blocks */
	u64 blocks;
	u8 signature[16]; /* GUID of the partition, or the disk's 32 bits of the MBR */
	u8 partition_format;
	u8 signature_type;
} __attribute__((packed));

_Static_assert(__builtin_offsetof(struct loaded_image, device) == 24, "DeviceHandle");
_Static_assert(sizeof(struct hard_drive_node) == 42, "hard drive media node");

static const void *protocol(const struct efi_system *system, u64 handle, const struct efi_guid *guid)
{
	void *interface = NULL;

	return system->boot->handle_protocol(handle, guid, &interface) ? NULL : interface;
}

/* The path's only node of a hard drive; NULL: none, or a partition in a partition, which Linux does not know. */
static const struct hard_drive_node *find_hard_drive(const void *path)
{
	const struct node *node = path;
	const struct hard_drive_node *found = NULL;
	u32 i;

	for (i = 0; node && i < MAX_NODES && node->type != NODE_END && node->size >= sizeof(*node); i++) {
		if (node->type == NODE_MEDIA && node->subtype == NODE_HARD_DRIVE && node->size >= sizeof(*found)) {
			if (found)
				return NULL;
			found = (const struct hard_drive_node *)node;
		}
		node = (const struct node *)((const u8 *)node + node->size);
	}
	return found;
}

static void add_byte(struct line *line, u8 value)
{
	char digits[3] = { "0123456789abcdef"[value >> 4], "0123456789abcdef"[value & 15], 0 };

	add_text(line, digits);
}

/* As Linux and blkid write it: the first three fields are little-endian numbers. */
static void add_guid(struct line *line, const u8 *guid)
{
	static const u8 order[16] = { 3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15 };
	u32 i;

	for (i = 0; i < 16; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			add_text(line, "-");
		add_byte(line, guid[order[i]]);
	}
}

/*
 * Adds the value of saveoops.boot=, or nothing. Of an MBR the first block stands in place of the number: some firmware counts
 * the partitions that are there (EDK2 until it took the table's index), Linux the places in the table.
 */
void add_boot_partition(struct line *line, const struct efi_system *system, u64 handle)
{
	static const struct efi_guid loaded = { 0x11d295625b1b31a1, 0x3b7269c9a0003f8e };
	static const struct efi_guid device_path = { 0x11d26d3f09576e91, 0x3b7269c9a000398e };
	const struct loaded_image *image = protocol(system, handle, &loaded);
	const struct hard_drive_node *drive =
		find_hard_drive(image && image->device ? protocol(system, image->device, &device_path) : NULL);
	u32 disk;

	if (!drive)
		return;
	memcpy(&disk, drive->signature, sizeof(disk));
	if (drive->signature_type == SIGNATURE_GUID) {
		add_text(line, "PARTUUID=");
		add_guid(line, drive->signature);
	} else if (drive->signature_type == SIGNATURE_MBR && disk) {
		int i;

		add_text(line, "MBR=");
		for (i = 3; i >= 0; i--)
			add_byte(line, drive->signature[i]);
		add_text(line, "@");
		add_decimal(line, drive->start);
	}
}
