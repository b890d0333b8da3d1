/* What this CPU says of itself. */
#include "entry.h"
#include "mtrr.h"

/* 5-level paging is for kernels, CPUs and command lines that agree on it. */
u32 wants_level5(void)
{
	u32 a, b, c, d;

	cpuid(0, 0, &a, &b, &c, &d);
	if (a < 7)
		return 0;
	cpuid(7, 0, &a, &b, &c, &d);
	return (plan.flags & PLAN_LEVEL5) && (c & (1u << 16)) && !find_option("no5lvl");
}

int has_gib_pages(void)
{
	u32 a, b, c, d;

	cpuid(0x80000001, 0, &a, &b, &c, &d); /* it has told of long mode, too */
	return d >> 26 & 1;
}

/*
 * An address with a bit above MAXPHYADDR in a page-table entry is a page fault. Nor may a kernel with four levels of page
 * tables run above 46 bits (MAX_PHYSMEM_BITS, arch/x86/include/asm/sparsemem.h); for one with five the lower 64 TiB are enough.
 */
u64 address_limit(void)
{
	u32 a, b, c, d, bits = 36;

	cpuid(0x80000000, 0, &a, &b, &c, &d);
	if (a >= 0x80000008) {
		cpuid(0x80000008, 0, &a, &b, &c, &d);
		bits = a & 0xff;
	}
	return 1ull << MIN(bits, 46u);
}

void mark_slow_ram(struct memory_map *map)
{
	u32 a, b, c, d, amd;

	cpuid(0, 0, &a, &b, &c, &d);
	amd = c == 0x444d4163 /* "cAMD" of AuthenticAMD */ || c == 0x656e6975 /* "uine" of HygonGenuine */;
	cpuid(1, 0, &a, &b, &c, &d);
	if (!(d & 1u << 12))
		return;
	/*
	 * On AMD, memory above 4 GiB is write-back whatever the default (SYSCFG.Tom2ForceMemTypeWB). That register is not
	 * read: a hypervisor may answer with #GP, for which there is no handler here.
	 */
	mark_uncached(map, rdmsr, amd ? 1ull << 32 : ~0ull);
}
