/* The CPU's SSE registers, which neither firmware nor Syslinux under BIOS has switched on, for a short time. */
#ifndef SAVEOOPS_COM32_VECTOR_UNIT_H
#define SAVEOOPS_COM32_VECTOR_UNIT_H
#include "types.h"

#define CR0_EM_TS 0xcul
#define CR4_OSFXSR (1ul << 9)
#define CPUID_1_EDX_SSE2 (1u << 26)

struct vector_unit {
	usize flags, cr0, cr4;
};

static inline int has_sse2(void)
{
	u32 eax = 1, ebx, ecx = 0, edx;

	asm("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx));
	return !!(edx & CPUID_1_EDX_SSE2);
}

/* Until vector_unit_end() no interrupt comes: what handles it may use the registers, too. The CPU has SSE2. Intel SDM vol. 3, 2.5. */
static inline struct vector_unit vector_unit_begin(void)
{
	struct vector_unit before;

	asm volatile("pushf; pop %0; cli" : "=r"(before.flags) : : "memory");
	asm volatile("mov %%cr0, %0" : "=r"(before.cr0));
	asm volatile("mov %%cr4, %0" : "=r"(before.cr4));
	asm volatile("mov %0, %%cr0" : : "r"(before.cr0 & ~CR0_EM_TS));
	asm volatile("mov %0, %%cr4" : : "r"(before.cr4 | CR4_OSFXSR) : "memory");
	return before;
}

static inline void vector_unit_end(struct vector_unit before)
{
	asm volatile("mov %0, %%cr4" : : "r"(before.cr4) : "memory");
	asm volatile("mov %0, %%cr0" : : "r"(before.cr0));
	asm volatile("push %0; popf" : : "r"(before.flags) : "memory", "cc");
}

#endif
