/*
 * What the entry stub uses of UEFI (UEFI specification 2.10: system table 4.3, boot services 4.4, memory types 7.2), and
 * what its two halves under UEFI share: efi.c runs while firmware is there, landing.c once it is gone.
 */
#ifndef SAVEOOPS_EFI_H
#define SAVEOOPS_EFI_H
#include "entry.h"
#include "line.h"

#define EFIAPI __attribute__((ms_abi))
#define EFI_ERROR (1ull << 63)
#define EFI_OUT_OF_RESOURCES (EFI_ERROR | 9)

#define ALLOCATE_MAX_ADDRESS 1
#define EFI_RESERVED 0
#define EFI_LOADER_CODE 1
#define EFI_LOADER_DATA 2
#define EFI_CONVENTIONAL 7
#define EVT_SIGNAL_EXIT_BOOT_SERVICES 0x201
#define TPL_NOTIFY 16
#define EFI_MEMORY_XP 0x4000ull
#define EFI_MEMORY_RO 0x20000ull
#define EFI_MEMORY_SP 0x40000ull /* for a purpose of its own: no RAM for anybody */

struct efi_guid {
	u64 low, high;
};

struct efi_memory {
	u32 type;
	u32 pad;
	u64 physical;
	u64 virtual;
	u64 pages;
	u64 attribute;
};

struct efi_text_output {
	void *reset;
	u64 EFIAPI (*output_string)(struct efi_text_output *self, const u16 *text);
};

struct efi_memory_attributes {
	void *get, *set;
	u64 EFIAPI (*clear)(struct efi_memory_attributes *self, u64 base, u64 length, u64 attributes);
};

struct efi_boot_services {
	u8 header[24];
	void *raise_tpl, *restore_tpl;
	u64 EFIAPI (*allocate_pages)(u32 how, u32 type, u64 pages, u64 *address);
	u64 EFIAPI (*free_pages)(u64 address, u64 pages);
	u64 EFIAPI (*get_memory_map)(u64 *size, void *map, u64 *key, u64 *descriptor_size, u32 *version);
	u64 EFIAPI (*allocate_pool)(u32 type, u64 size, void **buffer);
	u64 EFIAPI (*free_pool)(void *buffer);
	u64 EFIAPI (*create_event)(u32 type, u64 tpl, void *notify, void *context, void **event);
	void *others[8];
	u64 EFIAPI (*handle_protocol)(u64 handle, const struct efi_guid *protocol, void **interface);
	void *more[20];
	u64 EFIAPI (*locate_protocol)(const struct efi_guid *protocol, void *registration, void **interface);
};

struct efi_config {
	struct efi_guid guid;
	u64 table;
};

struct efi_system {
	u8 header[24];
	u64 vendor;
	u64 revision;
	void *console_in_handle, *console_in, *console_out_handle;
	struct efi_text_output *console_out;
	void *error_handle, *error;
	void *runtime;
	struct efi_boot_services *boot;
	u64 config_count;
	struct efi_config *config;
};

_Static_assert(__builtin_offsetof(struct efi_system, console_out) == 64, "ConOut");
_Static_assert(__builtin_offsetof(struct efi_system, boot) == 96, "BootServices");
_Static_assert(__builtin_offsetof(struct efi_system, config_count) == 104, "NumberOfTableEntries");
_Static_assert(sizeof(struct efi_system) == 120, "system table");
_Static_assert(__builtin_offsetof(struct efi_boot_services, create_event) == 80, "CreateEvent");
_Static_assert(__builtin_offsetof(struct efi_boot_services, handle_protocol) == 152, "HandleProtocol");
_Static_assert(__builtin_offsetof(struct efi_boot_services, locate_protocol) == 320, "LocateProtocol");

/* movabs $landing, %rax; call *%rax: over the first instructions of a kernel's 64-bit entry. */
#define PATCH_SIZE 12
#define MAX_PATCHED 8

/* How the stub was entered, and what it has of the firmware. */
struct efi_state {
	u64 handle;
	struct efi_system *system;
	u64 boot_params; /* handover; PE: 0 */
	u64 base;        /* of the loaded image: handover, its protected-mode part; PE, its headers */
	u64 pe;          /* 1: entered as a PE image */
	u64 store;       /* our copy of the protected-mode part, or 0 for want of memory */
	u64 region;      /* crash region that firmware has reserved, or 0 */
	struct line boot_partition; /* value of saveoops.boot=; empty: not known */
	u8 *map;         /* room for the memory map at the end */
	u64 map_size;
	u64 decompressed; /* 1: a decompressed kernel was found */
	u64 patched;
	struct {
		u64 at;
		u8 before[PATCH_SIZE];
	} patch[MAX_PATCHED];
};

extern struct efi_state efi;
/* Filled by efi-entry.S on landing: the kernel's 64-bit entry, and RSI there. */
extern u64 efi_came_from, efi_stub_boot_params;
extern char efi_landing[];

/* boot-partition.c */
void add_boot_partition(struct line *line, const struct efi_system *system, u64 handle);

/* give-back.c */
void give_region_back(struct boot_params *bp);

/* write-protected.c */
void write_protected(u64 address, const void *bytes, usize size);

#endif
