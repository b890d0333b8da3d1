/*
 * Sources: Intel SDM vol. 3, 11.4 "Local APIC" and 11.12 "Extended XAPIC (x2APIC)". Port 0x70 bit 7 as the kernel's own
 * setup code writes it before it leaves real mode (arch/x86/boot/pm.c).
 */
#include "dead-kernel.h"
#include "mask-nmi.h"

#define IA32_APIC_BASE 0x1b
#define APIC_ENABLED (1ull << 11)
#define X2APIC_ENABLED (1ull << 10)
#define LVT_LINT1 0x360         /* bytes in the page of registers */
#define X2APIC_LVT_LINT1 0x836
#define LVT_MASKED (1u << 16)

void mask_nmi(const struct crash_table *table)
{
	u32 a, b, c, d;
	u64 base;

	outb(0x80, 0x70);
	inb(0x80);
	cpuid(1, 0, &a, &b, &c, &d);
	if (!(d & 1u << 9))
		return;
	base = rdmsr(IA32_APIC_BASE);
	if (!(base & APIC_ENABLED))
		return;
	if (base & X2APIC_ENABLED) {
		wrmsr(X2APIC_LVT_LINT1, rdmsr(X2APIC_LVT_LINT1) | LVT_MASKED);
	} else {
		volatile u32 *lvt = (volatile u32 *)((volatile char *)window(table, base, WINDOW_DEVICE) + LVT_LINT1);

		*lvt |= LVT_MASKED;
	}
}
