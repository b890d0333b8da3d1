/*
 * What the entry stub's parts share. Its files: main.c decides and goes on in the copy, command-line.c, places.c (crash
 * region and kernel), e820.c, kernel-image.c (decompression, relocation), arm.c (tables for hook and crash stub).
 */
#ifndef SAVEOOPS_ENTRY_H
#define SAVEOOPS_ENTRY_H
#include "boot-params.h"
#include "line.h"
#include "machine.h"
#include "plan.h"

#define GIB (1ull << 30)
#define MIB (1ull << 20)
#define LARGE_PAGE (2 * MIB)
#define PAGE 4096ull
#define MAX_AVOID 16
#define MAX_USABLE 256
/*
 * RAM that the primary needs beside its image and initrd. A heuristic: a stock kernel with a small initramfs boots with
 * 25 MiB and runs out of memory with 21. An initrd is counted four times: packed, and unpacked to three times that.
 */
#define LEAST_WORKING_ROOM (32 * MIB)
#define MAPPED_LIMIT (512 * GIB) /* what one PDPT page maps */

/* Why the machine boots unarmed; docs/messages.md lists them. */
enum reason {
	ARMED = 0,
	PLAN_DAMAGED = 2,
	PART_DAMAGED = 3,
	BAD_E820 = 4,
	NO_ROOM_FOR_REGION = 5,
	NO_ROOM_FOR_KERNEL = 6,
	MEM_ENCRYPT = 7,
	BAD_LZ4 = 8,
	BAD_RELOCATION = 9,
	TOO_MUCH_RAM = 10,
	NO_ROOM_FOR_IMAGE = 40,
	NO_EVENT = 41,
	KERNEL_NOT_FOUND = 42,
};

struct range {
	u64 start;
	u64 end;
};

/* Everything decided before the move; travels with the stub's copy. */
struct entry_state {
	struct boot_params *boot_params;
	u64 given_region; /* that firmware has reserved, or 0 */
	u64 region;
	u64 node;       /* status node, or 0 */
	u64 output;     /* physical address of _text */
	u64 delta;      /* KASLR offset */
	u64 rsdp;
	u64 low_ram_end;
	u64 saved_image; /* copy of what the primary may overwrite, or 0 */
	u64 vmlinux;     /* compressed image in scratch memory */
	u32 level5;
	u32 avoid_count;
	struct range avoid[MAX_AVOID];
	u64 efi_rsdp;
	u32 usable_count; /* conventional memory of the EFI map, sorted; 0: not started by UEFI */
	struct range usable[MAX_USABLE];
	u32 original_entries;
	struct e820_entry original[E820_MAX];
};

extern struct entry_state state;
extern u32 image_base;   /* physical address of the image's protected-mode part */
extern struct plan plan; /* in entry.S, filled in by the build */
extern u64 boot_pml4[512], boot_pml5[512], boot_pdpt[512], boot_pd[2048], extra_pd[1024];
extern char entry32[], stub_end[];

static inline void *at(u64 address)
{
	return (void *)(usize)address;
}

static inline const void *part_bytes(int index)
{
	return at(image_base + plan.part[index].offset);
}

/* entry.S */
void leave_image(u64 copy);
void enter_kernel(u64 entry, u64 delta, u64 boot_params, u64 pml5);

/* main.c */
void tell(const char *text);
void tell_serial(const char *text);
void add_unarmed(struct line *line, enum reason reason, const char *why);
int plan_is_intact(void);
int find_damaged_part(struct line *why);

/* command-line.c */
const char *command_line(void);
const char *find_option(const char *name);
int option_is(const char *name, const char *value);
int append_words(char *line, usize limit, const char *prefix);
u64 parse_size(const char *p);

/* places.c */
void avoid(u64 start, u64 size);
void collect_avoided(u64 image_size);
u64 place_region(u64 size);
int place_kernel(void);

/* efi-map.c */
void take_efi_map(void);

/* e820.c */
u64 ram_top(void);
u64 ram_size(void);
int reserve_in_e820(u64 start, u64 end);
void crash_e820(struct boot_params *bp, u64 region);

/* kernel-image.c */
void build_identity_map(void);
int decompress(void);
int relocate(void);

/* arm.c */
int arm(void);

#endif
