/* The fields of boot_params that bare-metal code touches (Documentation/arch/x86/zero-page.rst, boot.rst). */
#ifndef SAVEOOPS_BOOT_PARAMS_H
#define SAVEOOPS_BOOT_PARAMS_H
#include "types.h"

#define E820_RAM 1
#define E820_RESERVED 2
#define E820_ACPI 3
#define E820_NVS 4
#define E820_PRAM 12
#define E820_MAX 128
#define EFI_SIGNATURE_64 0x34364c45 /* "EL64" in efi_info: started by 64-bit UEFI */
#define EFI_SIGNATURE_32 0x32334c45 /* "EL32" */
#define SECURE_BOOT_ENABLED 3
#define LOADFLAG_LOADED_HIGH 0x01
#define LOADFLAG_KASLR 0x02
#define SETUP_E820_EXT 1
#define SETUP_INDIRECT 0x80000000u
#define SETUP_SAVEOOPS 0x53415645 /* type of the status node: "SAVE" */

struct e820_entry {
	u64 start;
	u64 size;
	u32 type;
} __attribute__((packed));

struct boot_params {
	u8 screen_info[0x40];           /* 0x000 */
	u8 pad1[0x70 - 0x40];
	u64 acpi_rsdp_addr;             /* 0x070 */
	u8 pad2[0xc0 - 0x78];
	u32 ext_ramdisk_image;          /* 0x0c0 */
	u32 ext_ramdisk_size;           /* 0x0c4 */
	u32 ext_cmd_line_ptr;           /* 0x0c8 */
	u8 pad3[0x1c0 - 0xcc];
	u32 efi_signature;              /* 0x1c0: efi_info: "EL64" */
	u32 efi_systab;                 /* 0x1c4 */
	u32 efi_memdesc_size;           /* 0x1c8 */
	u32 efi_memdesc_version;        /* 0x1cc */
	u32 efi_memmap;                 /* 0x1d0 */
	u32 efi_memmap_size;            /* 0x1d4 */
	u32 efi_systab_hi;              /* 0x1d8 */
	u32 efi_memmap_hi;              /* 0x1dc */
	u8 pad_efi[0x1e8 - 0x1e0];
	u8 e820_entries;                /* 0x1e8 */
	u8 pad4[0x1ec - 0x1e9];
	u8 secure_boot;                 /* 0x1ec: 3: enabled (include/linux/efi.h, enum efi_secureboot_mode) */
	u8 pad4a[0x1ef - 0x1ed];
	u8 sentinel;                    /* 0x1ef: not 0: the loader has not cleared what it does not know */
	u8 pad4b[0x1f4 - 0x1f0];
	u32 syssize;                    /* 0x1f4 */
	u8 pad5[0x211 - 0x1f8];
	u8 loadflags;                   /* 0x211 */
	u8 pad6[2];
	u32 code32_start;               /* 0x214 */
	u32 ramdisk_image;              /* 0x218 */
	u32 ramdisk_size;               /* 0x21c */
	u8 pad7[0x228 - 0x220];
	u32 cmd_line_ptr;               /* 0x228 */
	u8 pad8[0x236 - 0x22c];
	u16 xloadflags;                 /* 0x236 */
	u32 cmdline_size;               /* 0x238: the longest line the kernel takes, characters */
	u8 pad9[0x250 - 0x23c];
	u64 setup_data;                 /* 0x250 */
	u8 pad10[0x260 - 0x258];
	u32 init_size;                  /* 0x260 */
	u32 handover_offset;            /* 0x264 */
	u8 pad11[0x2d0 - 0x268];
	struct e820_entry e820[E820_MAX]; /* 0x2d0 */
	u8 pad12[0x1000 - 0x2d0 - 20 * E820_MAX];
} __attribute__((packed));

_Static_assert(sizeof(struct boot_params) == 4096, "boot_params");
_Static_assert(__builtin_offsetof(struct boot_params, sentinel) == 0x1ef, "sentinel");
_Static_assert(__builtin_offsetof(struct boot_params, init_size) == 0x260, "init_size");
_Static_assert(__builtin_offsetof(struct boot_params, cmdline_size) == 0x238, "cmdline_size");
_Static_assert(__builtin_offsetof(struct boot_params, setup_data) == 0x250, "setup_data");

struct setup_data {
	u64 next;
	u32 type;
	u32 len;
};

/* The data of a node of type SETUP_INDIRECT: the data proper lie elsewhere. */
struct setup_indirect {
	u32 type;
	u32 reserved;
	u64 len;
	u64 address;
};

/*
 * The status node's data: tells the running system whether it is armed, or why not. World-readable in
 * /sys/kernel/boot_params/setup_data, so nothing in it depends on KASLR.
 *
 *  offset size
 *  0      4    version of this layout: 2
 *  4      4    0: armed; else the number of the message that says why not
 *  8      8    size of the crash region, bytes
 * 16      4    seconds of the boot watchdog that was started, or 0
 * 20      4    0
 */
struct status_node {
	struct setup_data head;
	u32 version;
	u32 reason;
	u64 region_size;
	u32 boot_watchdog;
	u32 unused;
};

#endif
