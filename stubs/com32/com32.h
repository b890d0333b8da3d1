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

#endif
