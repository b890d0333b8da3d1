/*
 * The COM32 module: reads the composed image and the initrds from saveoops.c32, checks what the entry stub cannot
 * (the primary's own bzImage, the stub, the initrds), and calls Syslinux's Linux boot. Nothing else is decided here.
 *
 * saveoops.c32: the module for BIOS with its section headers, padded to load_table.head_size; then the chunks of
 * load_table in order. It is read from start to end: Syslinux has no seek, and a read of the head costs milliseconds.
 * saveoops-efi.c32, the module for UEFI, has the same load table, and reads the saveoops.c32 beside it.
 *
 * On any failure: one numbered line, then the configuration's plain entry, whose files lie beside this one.
 */
#include "after-reset.h"
#include "com32.h"
#include "plan.h"
#include "vector-unit.h"
#include "xxh3.h"
#include "xxh32.h"

#define READ_SIZE (1u << 20) /* smaller reads are several times slower (measured with Syslinux 6.04) */
#define PLAIN_ENTRY "saveoops-plain"
#define CMDLINE_SIZE 4096
#define BLOCKS_AT_ONCE 256 /* 256 KiB: interrupts are off for less than 0.1 ms */
#define PERCENT_STEP 5
#define CMDLINE_SIZE_FIELD 0x238 /* of the setup header: Documentation/arch/x86/boot.rst */
#define BOOT_OPTION "saveoops.boot="
#define EFI_SUFFIX "-efi.c32"
#define SUFFIX ".c32"

struct load_table load_table = { .magic = LOAD_TABLE_MAGIC }; /* in .data: the build fills it in */

static u32 done_size, total_size;

static int fail(int number, const char *why)
{
	printf("\nsaveoops: E%02d not armed: %s; booting \"" PLAIN_ENTRY "\"\n", number, why);
	syslinux_run_command(PLAIN_ENTRY);
	return 1;
}

static int table_is_intact(void)
{
	struct load_table copy = load_table;

	copy.xxh32 = 0;
	return load_table.version == SHARED_VERSION && xxh32(&copy, sizeof(copy)) == load_table.xxh32;
}

/* XXH3 of more than 240 bytes. What xxh3.c has is called between begin and end only: any of it may use vector registers. */
static u64 xxh3(const u8 *p, u32 size)
{
	u32 blocks = (size - 1) / XXH3_BLOCK, done = 0;
	struct vector_unit before = vector_unit_begin();
	u64 acc[8], sum;

	xxh3_start(acc);
	while (done < blocks) {
		u32 some = MIN(blocks - done, BLOCKS_AT_ONCE);

		xxh3_blocks(acc, p + done * XXH3_BLOCK, some);
		done += some;
		/* Interrupts that came meanwhile. */
		vector_unit_end(before);
		before = vector_unit_begin();
	}
	sum = xxh3_end(acc, p, size);
	vector_unit_end(before);
	return sum;
}

/* Without SSE2 a CPU has no long mode, and the kernel's own setup code, which comes next, says so: nothing is left to be checked for. */
static int is_intact(const struct chunk *chunk, const void *data)
{
	u64 sum;

	if (!chunk->checked_size || !has_sse2())
		return 1;
	sum = xxh3(data, chunk->checked_size);
	return !memcmp(&sum, chunk->xxh3, sizeof(sum));
}

/* Reads size bytes with a progress line. 0, or -1 when the file ends early. */
static int read_all(FILE *file, void *to, u32 size)
{
	static u32 shown;
	u8 *p = to;

	while (size) {
		u32 want = MIN(size, READ_SIZE), percent;

		if (_fread(p, want, file) != want)
			return -1;
		p += want;
		size -= want;
		done_size += want;
		percent = (done_size >> 10) * 100 / (total_size >> 10);
		/* A line takes a BIOS as long as half a megabyte of loading. */
		if (percent < shown + PERCENT_STEP && done_size < total_size)
			continue;
		shown = percent;
		printf("\rLoading saveoops... %3u%%", percent);
	}
	return 0;
}

/* The payload: the module's own file, or, for NAME-efi.c32, the NAME.c32 beside it. NULL: none. */
static FILE *open_payload(const char *module)
{
	static char name[256];
	usize n = strlen(module);

	if (n >= sizeof(name))
		return NULL;
	memcpy(name, module, n + 1);
	if (n > strlen(EFI_SUFFIX) && !memcmp(name + n - strlen(EFI_SUFFIX), EFI_SUFFIX, strlen(EFI_SUFFIX)))
		memcpy(name + n - strlen(EFI_SUFFIX), SUFFIX, sizeof(SUFFIX));
	return findpath(name);
}

/* The value of the last word of the command line that begins with name, which ends in '='; or NULL. */
static const char *last_option(const char *cmdline, const char *name)
{
	const char *p = cmdline, *found = NULL;
	usize n = strlen(name);

	while (*p) {
		while (*p == ' ')
			p++;
		if (strlen(p) >= n && !memcmp(p, name, n))
			found = p + n;
		while (*p && *p != ' ')
			p++;
	}
	return found;
}

/* Adds the comma-separated files of `initrd=`: those that --initrd-beside left as files. 0, or -1. */
static int add_beside(struct initramfs *list, const char *names)
{
	char name[256];

	while (names && *names && *names != ' ') {
		void *data;
		usize n = 0, size;

		while (*names && *names != ',' && *names != ' ' && n < sizeof(name) - 1)
			name[n++] = *names++;
		name[n] = 0;
		if (*names == ',')
			names++;
		printf("\nLoading %s...", name);
		if (loadfile(name, &data, &size) || initramfs_add_data(list, data, size, size, 4))
			return -1;
	}
	return 0;
}

/*
 * Tells the primary, and by the entry stub the crash kernel, which file system Syslinux was started from. A line that is
 * full stays as it is: the kernel, whose setup header says how many characters it takes, would cut it off.
 */
static void add_boot_file_system(char *cmdline, const u8 *kernel)
{
	const char *uuid = fs_uuid();
	usize used = strlen(cmdline), limit = CMDLINE_SIZE - 1;
	u32 cmdline_size;

	memcpy(&cmdline_size, kernel + CMDLINE_SIZE_FIELD, sizeof(cmdline_size));
	limit = MIN(limit, cmdline_size);
	if (!uuid || last_option(cmdline, BOOT_OPTION) || used + 1 + strlen(BOOT_OPTION) + strlen(uuid) > limit)
		return;
	cmdline[used++] = ' ';
	memcpy(cmdline + used, BOOT_OPTION, strlen(BOOT_OPTION));
	memcpy(cmdline + used + strlen(BOOT_OPTION), uuid, strlen(uuid) + 1);
}

int main(int argc, char **argv)
{
	static char cmdline[CMDLINE_SIZE];
	struct initramfs *initrds = initramfs_init();
	const char *rest = com32_cmdline();
	usize rest_size = strlen(rest), name_size;
	void *image = NULL;
	u32 image_size = 0;
	FILE *file;
	u8 *head;
	int i;

	if (argc < 1 || !initrds || !table_is_intact())
		return fail(20, "the load table in the module is damaged");
	capture_after_reset(load_table.own, argv[0]);
	total_size = load_table.head_size;
	for (i = 0; i < MAX_CHUNKS && load_table.chunk[i].kind != CHUNK_END; i++)
		total_size += load_table.chunk[i].stored_size;
	file = open_payload(argv[0]);
	if (!file)
		return fail(21, "cannot open saveoops.c32");
	head = malloc(load_table.head_size);
	if (!head)
		return fail(22, "not enough memory");
	if (read_all(file, head, load_table.head_size))
		return fail(23, "the file ends early");
	/* This program as it was stored (under BIOS): what damage to it would do is not to be foreseen. */
	memset(head + load_table.offset, 0, sizeof(load_table));
	if (xxh32(head, load_table.head_size) != load_table.head_xxh32)
		return fail(20, "the module is damaged");
	free(head);
	for (i = 0; i < MAX_CHUNKS && load_table.chunk[i].kind != CHUNK_END; i++) {
		const struct chunk *chunk = &load_table.chunk[i];
		void *data = malloc(chunk->stored_size);

		if (!data)
			return fail(22, "not enough memory");
		if (read_all(file, data, chunk->stored_size))
			return fail(23, "the file ends early");
		if (!is_intact(chunk, data))
			return fail(24, chunk->kind == CHUNK_IMAGE ? "the kernel image is damaged" : "an initrd is damaged");
		if (chunk->kind == CHUNK_IMAGE) {
			image = data;
			image_size = chunk->size;
			*(u32 *)((u8 *)data + load_table.mark) = 1;
		} else if (initramfs_add_data(initrds, data, chunk->size, chunk->size, 4)) {
			return fail(22, "not enough memory");
		}
	}
	fclose(file);
	if (!image)
		return fail(20, "the load table names no kernel image");
	if (add_beside(initrds, last_option(rest, "initrd=")))
		return fail(25, "cannot load an initrd file");
	printf("\n");

	/* As for LINUX entries: the file's name, then the APPEND line. */
	name_size = strlen(argv[0]);
	if (11 + name_size + 1 + rest_size + 1 > CMDLINE_SIZE)
		return fail(26, "the command line is too long");
	memcpy(cmdline, "BOOT_IMAGE=", 11);
	memcpy(cmdline + 11, argv[0], name_size);
	cmdline[11 + name_size] = ' ';
	memcpy(cmdline + 12 + name_size, rest, rest_size + 1);
	add_boot_file_system(cmdline, image);
	syslinux_boot_linux(image, image_size, initrds, NULL, cmdline);
	return fail(27, "Syslinux could not boot the kernel: not enough memory?");
}
