/*
 * What the entry stub's parts share. Its files: main.c decides and goes on in the copy; messages.c; memory-map.c (what a map
 * is), e820.c, memory-words.c, mtrr.c, efi-map.c, setup-data.c (where maps come from), boot-params.c, identity-map.c, places.c (crash region and kernel); this-cpu.c;
 * command-line.c; rsdp.c; kernel-image.c (decompression, relocation); arm.c (tables for hook and crash stub); boot-watchdog.c.
 */
#ifndef SAVEOOPS_ENTRY_H
#define SAVEOOPS_ENTRY_H
#include "boot-params.h"
#include "extra-gibs.h"
#include "machine.h"
#include "memory-map.h"
#include "plan.h"

#define GIB (1ull << 30)
#define MIB (1ull << 20)
#define LARGE_PAGE (2 * MIB)
#define PAGE 4096ull
#define MAX_AVOID 160 /* two for each setup_data node that is followed would be 256: no loader comes near */
/*
 * RAM that the primary needs beside its image and initrd. A heuristic: a stock kernel with a small initramfs boots with
 * 25 MiB and runs out of memory with 21. An initrd is counted four times: packed, and unpacked to three times that.
 */
#define LEAST_WORKING_ROOM (32 * MIB)

struct range {
	u64 start;
	u64 end;
};

/* Everything decided before the move; travels with the stub's copy. */
struct entry_state {
	struct boot_params *boot_params;
	u64 given_region; /* that firmware has reserved, with a page below it for the status node; 0: one is chosen */
	u64 region;
	u64 node;       /* status node, or 0 */
	u64 output;     /* physical address of _text */
	u64 delta;      /* KASLR offset */
	u64 rsdp;
	u64 low_ram_end;
	u64 saved_image; /* copy of what the primary may overwrite, or 0 */
	u64 vmlinux;     /* compressed image, where it stays until it is decompressed */
	u32 level5;
	u32 boot_watchdog; /* seconds of the one that was started, or 0 */
	u32 original_entries; /* of E820, before the region was reserved */
	u32 avoid_count;
	u32 extra_count;   /* of extra_tables in use */
	u32 reached_count; /* GiBs above 4 that reach() has mapped */
	u64 reached[EXTRA_GIBS];
	u32 avoid_lost;  /* a range found no room in the following */
	struct range avoid[MAX_AVOID];
	struct memory_map memory; /* the primary's, as it will be: E820, and what the command line says of it */
	struct memory_map free;   /* what of its RAM region and kernel may lie in */
};

extern struct entry_state state;
extern u32 image_base;   /* physical address of the image's protected-mode part */
extern u32 image_checked; /* 1: the leading bzImage is known to be whole */
extern struct plan plan; /* in entry.S, filled in by the build */
extern u64 boot_pml4[512], boot_pml5[512], boot_pdpt[512], boot_pd[2048], extra_tables[512 * EXTRA_TABLES];
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
int plan_is_intact(void);
int check_parts(void);

/* command-line.c */
const char *command_line(void);
/*
 * Words of the command line, `name` or `name=value`; name ends in '=' for options with a value. Both give what follows the name ("" or
 * the value), or NULL: the next one behind `before`, which such a call gave (NULL: the first), and the last one.
 */
const char *next_option(const char *before, const char *name);
const char *find_option(const char *name);
int option_is(const char *name, const char *value);
int append_words(char *line, usize limit, const char *prefix);

/* places.c. What gives an int gives 0, or -1 after refuse(), here and below. */
void avoid(u64 start, u64 size);
int collect_avoided(u64 image_size);
u64 place_region(u64 size);
int choose_places(void);

/* e820.c */
int read_memory(void);
int reserve_region(void);
void release_region(void);
int crash_e820(struct boot_params *bp);

/* memory-words.c */
void apply_memory_words(struct memory_map *map, const char *line);

/* setup-data.c */
int avoid_setup_data(void);
void add_e820_extension(struct memory_map *map);
void chain_status_node(u64 place, u32 reason);

/* boot-params.c */
void sanitize_boot_params(void);

/* identity-map.c: reach() gives a pointer to physical memory, mapped; NULL when it cannot be. What is built is for CR3 to load. */
void *reach(u64 start, u64 size);
void build_identity_map(void);

/* efi-map.c: RAM that is not conventional memory of the EFI map becomes RAM_OF_FIRMWARE; the RSDP, or 0 */
int mark_firmware_memory(struct memory_map *map);
u64 efi_rsdp(void);

/* rsdp.c */
u64 find_rsdp(void);

/*
 * this-cpu.c: RAM that is not write-back becomes RAM_UNCACHED (mtrr.h). Below address_limit() is what this CPU can address
 * and any kernel can run in.
 */
void mark_slow_ram(struct memory_map *map);
u32 wants_level5(void);
int has_gib_pages(void);
u64 address_limit(void);

/* kernel-image.c */
int decompress(void);
int apply_edits(void);
int relocate(void);

/* arm.c */
int arm(void);

/* boot-watchdog.c: from now on the chipset's watchdog tells by itself that it has reset the machine; -1 when none can be started */
void forget_watchdog_resets(void);
int start_boot_watchdog(u32 seconds);

#endif
