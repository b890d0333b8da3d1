/* Instructions that C has no words for, and memory without a C library. 64-bit stubs only. */
#ifndef SAVEOOPS_MACHINE_H
#define SAVEOOPS_MACHINE_H
#include "types.h"

static inline void outb(u8 value, u16 port)
{
	__asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline u8 inb(u16 port)
{
	u8 value;

	__asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static inline void outw(u16 value, u16 port)
{
	__asm__ volatile("outw %0, %1" : : "a"(value), "Nd"(port));
}

static inline u16 inw(u16 port)
{
	u16 value;

	__asm__ volatile("inw %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static inline void outl(u32 value, u16 port)
{
	__asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port));
}

static inline u32 inl(u16 port)
{
	u32 value;

	__asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static inline void cpuid(u32 leaf, u32 subleaf, u32 *a, u32 *b, u32 *c, u32 *d)
{
	__asm__ volatile("cpuid" : "=a"(*a), "=b"(*b), "=c"(*c), "=d"(*d) : "0"(leaf), "2"(subleaf));
}

static inline u64 rdmsr(u32 msr)
{
	u32 low, high;

	__asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
	return ((u64)high << 32) | low;
}

static inline void wrmsr(u32 msr, u64 value)
{
	__asm__ volatile("wrmsr" : : "c"(msr), "a"((u32)value), "d"((u32)(value >> 32)));
}

static inline void write_cr3(u64 table)
{
	__asm__ volatile("mov %0, %%cr3" : : "r"(table) : "memory");
}

static inline u64 rdtsc(void)
{
	u32 low, high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	return ((u64)high << 32) | low;
}

/* rep movsq/stosq: a handful of instructions for any size; gcc may call these by name as well. */
void *memcpy(void *to, const void *from, usize size);
void *memset(void *to, int value, usize size);
int memcmp(const void *a, const void *b, usize size);

#define DEFINE_MEMORY_FUNCTIONS                                                                    \
	void *memcpy(void *to, const void *from, usize size)                                       \
	{                                                                                          \
		void *d = to;                                                                      \
		usize words = size / 8, bytes = size % 8;                                          \
		__asm__ volatile("rep movsq\n\tmov %3, %2\n\trep movsb"                             \
				 : "+D"(d), "+S"(from), "+c"(words) : "r"(bytes) : "memory");      \
		return to;                                                                         \
	}                                                                                          \
	void *memset(void *to, int value, usize size)                                              \
	{                                                                                          \
		void *d = to;                                                                      \
		usize words = size / 8, bytes = size % 8;                                          \
		__asm__ volatile("rep stosq\n\tmov %2, %1\n\trep stosb"                             \
				 : "+D"(d), "+c"(words)                                            \
				 : "r"(bytes), "a"((u8)value * 0x0101010101010101ull) : "memory"); \
		return to;                                                                         \
	}                                                                                          \
	int memcmp(const void *a, const void *b, usize size)                                       \
	{                                                                                          \
		const u8 *p = a, *q = b;                                                           \
		for (; size; size--, p++, q++)                                                     \
			if (*p != *q)                                                              \
				return *p < *q ? -1 : 1;                                           \
		return 0;                                                                          \
	}

static inline usize length_of(const char *text)
{
	usize n = 0;

	while (text[n])
		n++;
	return n;
}

#endif
