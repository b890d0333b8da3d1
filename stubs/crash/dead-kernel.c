/* Reading, calling and changing the dead kernel while its page tables are still in use. */
#include "dead-kernel.h"

#define ADDRESS_BITS 0x000ffffffffff000ull
#define NOWHERE (~0ull)

void call_kernel(u64 stack, u64 function, u64 argument); /* crash.S */

volatile void *window(const struct crash_table *table, u64 physical, u64 flags)
{
	volatile char *there = at(STUB_WINDOW);

	*(volatile u64 *)at(table->region + PLACE_WINDOW_TABLE) = (physical & ADDRESS_BITS) | flags;
	__asm__ volatile("invlpg %0" : : "m"(*there) : "memory");
	return there;
}

u64 physical_word(const struct crash_table *table, u64 physical)
{
	return *(volatile u64 *)((volatile char *)window(table, physical, WINDOW_RAM) + (physical & (PAGE - 1)));
}

int mapped(const struct crash_table *table, u64 address, u64 size)
{
	u64 page, last = address + size - 1;

	if (!size || last < address)
		return 0;
	for (page = address & ~(PAGE - 1); page <= last && page >= (address & ~(PAGE - 1)); page += PAGE) {
		u64 entry = table->region + PLACE_SCRATCH_TABLES;
		int level;

		for (level = table->level5 ? 4 : 3; level >= 0; level--) {
			const volatile u64 *entries = window(table, entry, WINDOW_RAM);

			entry = entries[page >> (12 + 9 * level) & 511];
			if (!(entry & 1))
				return 0;
			if ((entry & 0x80) && (level == 1 || level == 2))
				break;
		}
	}
	return 1;
}

/* Of an address in the kernel's image or direct map; NOWHERE: of what was RAM to it and is still there, it is none. */
static u64 physical_of(const struct crash_table *table, u64 address)
{
	u64 physical = address - table->text_virtual;
	u32 i;

	if (physical < table->kernel_size)
		return table->text_physical + physical;
	physical = address - table->direct_map;
	for (i = 0; i < table->ram_count; i++)
		if (physical - table->ram[i].start < table->ram[i].size && physical >= table->lost)
			return physical;
	return NOWHERE;
}

static int read_after_reset(const struct crash_table *table, u64 address, u8 *to, u64 size)
{
	while (size) {
		u64 physical = physical_of(table, address), part = MIN(size, PAGE - (address & (PAGE - 1))), i;
		const volatile u8 *page;

		if (physical == NOWHERE)
			return 0;
		page = window(table, physical, WINDOW_RAM);
		for (i = 0; i < part; i++)
			to[i] = page[(physical & (PAGE - 1)) + i];
		address += part;
		to += part;
		size -= part;
	}
	return 1;
}

int read_kernel(const struct crash_table *table, u64 address, void *to, u64 size)
{
	if (!address)
		return 0;
	if (table->after_reset)
		return read_after_reset(table, address, to, size);
	if (!mapped(table, address, size))
		return 0;
	memcpy(to, at(address), size);
	return 1;
}

u64 direct_map(const struct crash_table *table)
{
	u64 base = table->after_reset ? table->direct_map : kernel_value(table, KSYM_page_offset_base, 8);

	return base ? base : PAGE_OFFSET_BASE_L4;
}

u64 kernel_value_at(const struct crash_table *table, u64 address, int size)
{
	u64 value = 0;

	read_kernel(table, address, &value, (u64)size);
	return value;
}

u64 kernel_value(const struct crash_table *table, int symbol, int size)
{
	return kernel_value_at(table, table->symbol[symbol], size);
}

void call(const struct crash_table *table, const struct state *state, int symbol, u64 argument)
{
	if (table->symbol[symbol])
		call_kernel(state->rsp, table->symbol[symbol], argument);
}

/* CR0.WP is off meanwhile: smp_ops and machine_ops are read-only after boot. */
void set_pointer(u64 address, u64 value)
{
	u64 cr0;

	__asm__ volatile("mov %%cr0, %0" : "=r"(cr0));
	__asm__ volatile("mov %0, %%cr0" : : "r"(cr0 & ~0x10000ull));
	*(volatile u64 *)at(address) = value;
	__asm__ volatile("mov %0, %%cr0" : : "r"(cr0));
}
