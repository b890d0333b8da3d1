/* Under UEFI: the one write that firmware's page tables may forbid. */
#include "efi.h"

/* Writes where the memory may be mapped read-only. With CET on, CR0.WP cannot be cleared: then it must be writable. */
void write_protected(u64 address, const void *bytes, usize size)
{
	u64 cr0, cr4;

	__asm__ volatile("mov %%cr0, %0" : "=r"(cr0));
	__asm__ volatile("mov %%cr4, %0" : "=r"(cr4));
	if (!(cr4 & (1u << 23)))
		__asm__ volatile("mov %0, %%cr0" : : "r"(cr0 & ~0x10000ull) : "memory");
	memcpy(at(address), bytes, size);
	__asm__ volatile("mov %0, %%cr0" : : "r"(cr0) : "memory");
}
