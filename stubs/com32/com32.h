/*
 * What the module uses of Syslinux 6.04: own declarations of exported functions only. BIOS: i386, ILP32; every function
 * without `...` takes its arguments in registers (-mregparm=3), the others on the stack. UEFI: x86-64, LP64, System V.
 */
#ifndef SAVEOOPS_COM32_H
#define SAVEOOPS_COM32_H
#include "types.h"

typedef struct com32_file FILE;
struct initramfs;
struct com32_stat {
	u32 mode;
	u32 size;
};

int printf(const char *format, ...);
FILE *findpath(char *name);
int fclose(FILE *file);
usize _fread(void *to, usize bytes, FILE *file);
void *malloc(usize bytes);
void free(void *memory);
void *memcpy(void *to, const void *from, usize bytes);
void *memset(void *to, int value, usize bytes);
usize strlen(const char *text);
int memcmp(const void *a, const void *b, usize bytes);
const char *com32_cmdline(void);
const char *fs_uuid(void); /* of the file system that Syslinux was started from, as blkid prints it; NULL: unknown */
int loadfile(const char *name, void **data, usize *size);
struct initramfs *initramfs_init(void);
int initramfs_add_data(struct initramfs *list, const void *data, usize data_size, usize size, usize align);
int syslinux_boot_linux(void *kernel, usize size, struct initramfs *initrd, void *setup_data, char *cmdline);
int syslinux_run_command(const char *command);

/* BIOS only: com32/include/syslinux/movebits.h and bootpm.h. */
enum { MEMORY_END = -1, MEMORY_FREE = 1, MEMORY_RESERVED = 2 };
struct syslinux_memmap {
	u32 start;              /* the range ends where the next one starts */
	int type;               /* MEMORY_* */
	struct syslinux_memmap *next;
};
struct syslinux_pm_regs {
	u32 eax, ecx, edx, ebx, esp, ebp, esi, edi, eip;
};
struct syslinux_memmap *syslinux_memory_map(void);
int syslinux_add_memmap(struct syslinux_memmap **map, u32 start, u32 size, int type);
void syslinux_force_text_mode(void);
/* Shuts down PXE and what of the hardware is Syslinux's, and goes to regs->eip: 32-bit code, paging off, flat segments. */
int syslinux_shuffle_boot_pm(void *moves, struct syslinux_memmap *map, unsigned short flags,
			     const struct syslinux_pm_regs *regs);

#endif
