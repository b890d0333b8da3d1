/*
 * The core file that the crash kernel shows as /proc/vmcore: ELF headers at PLACE_ELFCOREHDR, notes at PLACE_NOTES.
 */
#include "core-file.h"
#include "line.h"

#define NT_PRSTATUS 1
#define PRSTATUS_SIZE 336       /* sizeof(struct elf_prstatus) on x86-64 */
#define PRSTATUS_NOTE_SIZE (12 + 8 + PRSTATUS_SIZE)
#define PR_PID 32               /* offsetof(struct elf_prstatus, pr_pid) */
#define PR_REG 112              /* offsetof(struct elf_prstatus, pr_reg): 27 registers */
#define MAX_CPUS 1024
#define MOST_INFO 65536         /* bytes of VMCOREINFO that are believed */
#define NOTE_HEAD 24             /* header and name of the note VMCOREINFO, bytes */
#define MAX_RESOURCES 65536     /* more than any machine has: a list that was damaged may have no end */
#define MAX_RESOURCE_DEPTH 16
#define IORESOURCE_SYSTEM_RAM 0x01000200 /* include/linux/ioport.h */
#define END_OF_NOTES 64         /* bytes of zero that end the reader's walk */

struct elf_header {
	u8 ident[16];
	u16 type, machine;
	u32 version;
	u64 entry, phoff, shoff;
	u32 flags;
	u16 ehsize, phentsize, phnum, shentsize, shnum, shstrndx;
};

struct program_header {
	u32 type, flags;
	u64 offset, vaddr, paddr, filesz, memsz, align;
};

/* include/linux/ioport.h; the build has compared it with the kernel's BTF. */
struct resource {
	u64 start, end, name, flags, desc, parent, sibling, child;
};

/* One more line of VMCOREINFO behind those of the build. text ends in '='. */
static void append_info(char *note, const char *text, u64 value, int hexadecimal)
{
	u32 *header = (u32 *)note;
	struct line line = { .used = 0 };

	add_text(&line, text);
	if (hexadecimal) {
		add_hexadecimal(&line, value);
	} else {
		if ((s64)value < 0)
			add_text(&line, "-");
		add_decimal(&line, (s64)value < 0 ? 0 - value : value);
	}
	add_text(&line, "\n");
	memcpy(note + 24 + header[1], line.text, line.used);
	header[1] += line.used;
}

/*
 * VMCOREINFO: the kernel's own note once it exists, else the build's, completed. Gives its size, bytes.
 * Note layout (ELF spec, "Note Section"): u32 namesz, descsz, type, then name and desc, each padded to 4 bytes.
 */
static u64 place_vmcoreinfo(const struct crash_table *table, char *notes)
{
	u64 own = kernel_value(table, KSYM_vmcoreinfo_note, 8), info, size;
	u64 bits = table->level5 ? 52 : 46; /* arch/x86/include/asm/sparsemem.h */
	u32 header[NOTE_HEAD / 4];
	char *copy = notes + 2 * MOST_INFO; /* where the other notes come later */

	if (read_kernel(table, own, header, sizeof(header)) && header[0] == 11 && header[1] && header[1] < MOST_INFO &&
	    !memcmp(header + 3, "VMCOREINFO", 11) && read_kernel(table, own, copy, NOTE_HEAD + header[1])) {
		size = NOTE_HEAD + ((header[1] + 3ull) & ~3ull);
		memset(notes, 0, table->notes_size);
		memcpy(notes, copy, NOTE_HEAD + header[1]);
		return size;
	}
	info = kernel_value(table, KSYM_mem_section, 8);
	if (info)
		append_info(notes, "SYMBOL(mem_section)=", info, 1);
	if (table->sections_per_root)
		append_info(notes, "LENGTH(mem_section)=", (1ull << (bits - 27)) / table->sections_per_root, 0);
	info = kernel_value(table, KSYM_vmalloc_base, 8);
	if (info)
		append_info(notes, "NUMBER(VMALLOC_START)=0x", info, 1);
	info = kernel_value(table, KSYM_vmemmap_base, 8);
	if (info)
		append_info(notes, "SYMBOL(vmemmap)=", info, 1);
	append_info(notes, "NUMBER(phys_base)=", table->phys_base, 0);
	append_info(notes, "NUMBER(pgtable_l5_enabled)=", table->level5, 0);
	append_info(notes, "NUMBER(MAX_PHYSMEM_BITS)=", bits, 0);
	append_info(notes, "KERNELOFFSET=", table->kernel_delta, 1);
	append_info(notes, "NUMBER(sme_mask)=", 0, 0);
	return 24 + ((((u32 *)notes)[1] + 3ull) & ~3ull);
}

/* PID of the task that runs on this CPU; 0, as of the idle task, when it cannot be read. */
static u32 current_pid(const struct crash_table *table)
{
	u32 low, high;
	u64 task;

	if (!table->current_task)
		return 0;
	__asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(0xc0000101)); /* MSR_GS_BASE */
	task = kernel_value_at(table, ((u64)high << 32 | low) + table->current_task, 8);
	return task ? (u32)kernel_value_at(table, task + table->task_pid, 4) : 0;
}

static u64 put_prstatus(const struct crash_table *table, char *note, const struct pt_regs *regs)
{
	u32 *header = (u32 *)note, pid = current_pid(table);
	u64 *pr_reg = (u64 *)(note + 20 + PR_REG);

	memset(note, 0, PRSTATUS_NOTE_SIZE);
	header[0] = 5;
	header[1] = PRSTATUS_SIZE;
	header[2] = NT_PRSTATUS;
	memcpy(note + 12, "CORE", 5);
	memcpy(note + 20 + PR_PID, &pid, sizeof(pid));
	memcpy(pr_reg, regs, sizeof(*regs)); /* user_regs_struct begins like pt_regs */
	return PRSTATUS_NOTE_SIZE;
}

/* NT_PRSTATUS of every CPU from crash_notes, or of the panicking CPU alone before it exists. */
static u64 place_prstatus(const struct crash_table *table, char *notes, const struct pt_regs *regs)
{
	u64 crash_notes = kernel_value(table, KSYM_crash_notes, 8), cpus, used = 0, i;
	const u64 *offsets = at(table->symbol[KSYM___per_cpu_offset]);

	cpus = MIN(kernel_value(table, KSYM_nr_cpu_ids, 4), (u64)MAX_CPUS);
	if (!crash_notes || !offsets || !mapped(table, (usize)offsets, 8 * cpus))
		return put_prstatus(table, notes, regs);
	for (i = 0; i < cpus; i++) {
		const u32 *note = at(crash_notes + offsets[i]);

		if (!mapped(table, (usize)note, PRSTATUS_NOTE_SIZE) || note[0] != 5 || note[1] != PRSTATUS_SIZE ||
		    note[2] != NT_PRSTATUS)
			continue;
		memcpy(notes + used, note, PRSTATUS_NOTE_SIZE);
		used += PRSTATUS_NOTE_SIZE;
	}
	return used ? used : put_prstatus(table, notes, regs);
}

/* The resource after this one: children first. 0: no more; a bad pointer is given, for the caller to see. */
static u64 next_resource(const struct crash_table *table, u64 node)
{
	const struct resource *resource = at(node);
	int depth;

	if (resource->child)
		return resource->child;
	for (depth = 0; depth < MAX_RESOURCE_DEPTH; depth++) {
		if (resource->sibling)
			return resource->sibling;
		if (!resource->parent || !mapped(table, resource->parent, sizeof(*resource)))
			return resource->parent;
		resource = at(resource->parent);
	}
	return 1; /* mapped nowhere */
}

static int known_at_boot(const struct crash_table *table, const struct resource *resource)
{
	u32 i;

	for (i = 0; i < table->ram_count; i++)
		if (resource->start < table->ram[i].start + table->ram[i].size && table->ram[i].start <= resource->end)
			return 1;
	return 0;
}

static struct program_header load_segment(u64 vaddr, u64 paddr, u64 size)
{
	return (struct program_header){ .type = 1 /* PT_LOAD */, .flags = 7, .offset = paddr, .vaddr = vaddr,
					.paddr = paddr, .filesz = size, .memsz = size };
}

/*
 * RAM that came after the boot (DIMMs, virtio-mem, balloons), from the kernel's resource tree. Gives 0 when there is
 * more than fits, or the tree is damaged.
 */
static int add_new_ram(const struct crash_table *table, struct program_header **p, u64 virtual)
{
	const struct program_header *end = at(table->region + PLACE_NOTES);
	u64 node = table->symbol[KSYM_iomem_resource];
	u32 count;

	for (count = 0; node; node = next_resource(table, node)) {
		const struct resource *resource = at(node);

		if (count++ == MAX_RESOURCES || !mapped(table, node, sizeof(*resource)))
			return 0;
		if ((resource->flags & IORESOURCE_SYSTEM_RAM) != IORESOURCE_SYSTEM_RAM || known_at_boot(table, resource))
			continue;
		if (*p + 1 > end || resource->end < resource->start)
			return 0;
		*(*p)++ = load_segment(virtual + resource->start, resource->start,
				       resource->end - resource->start + 1);
	}
	return 1;
}

/*
 * ELF core header as fs/proc/vmcore.c takes it: p_offset is a physical address, headers follow the ELF header. Gives 0
 * when RAM is missing.
 */
static int place_elf_headers(const struct crash_table *table, u64 notes_size)
{
	struct elf_header *elf = at(table->region + PLACE_ELFCOREHDR);
	struct program_header *p = (struct program_header *)(elf + 1);
	u64 virtual = direct_map(table);
	u32 i;
	int complete = 1;

	*elf = (struct elf_header){ .ident = { 0x7f, 'E', 'L', 'F', 2, 1, 1 }, .type = 4 /* ET_CORE */,
				    .machine = 62 /* EM_X86_64 */, .version = 1, .phoff = sizeof(*elf),
				    .ehsize = sizeof(*elf), .phentsize = sizeof(*p) };
	*p++ = (struct program_header){ .type = 4 /* PT_NOTE */, .offset = table->region + PLACE_NOTES,
					.paddr = table->region + PLACE_NOTES, .filesz = notes_size,
					.memsz = notes_size };
	*p++ = load_segment(table->text_virtual, table->text_physical, table->kernel_size);
	for (i = 0; i < table->ram_count; i++) {
		struct ram_range ram = table->ram[i];
		int saved = !table->after_reset && ram.start < table->backup_size;

		if (ram.start + ram.size <= table->lost)
			continue;
		if (ram.start < table->lost) {
			ram.size -= table->lost - ram.start;
			ram.start = table->lost;
		}
		if (saved)
			ram.size = MIN(ram.size, table->backup_size - ram.start);
		*p = load_segment(virtual + ram.start, ram.start, ram.size);
		if (saved)
			p->offset += table->region + PLACE_BACKUP;
		p++;
	}
	/* The tree of resources hangs together by pointers: after a reset too much can be missing. */
	if (!table->after_reset)
		complete = add_new_ram(table, &p, virtual);
	elf->phnum = (u16)(p - (struct program_header *)(elf + 1));
	return complete;
}

int place_core_file(const struct crash_table *table, const struct pt_regs *regs)
{
	char *notes = at(table->region + PLACE_NOTES);
	u64 used = place_vmcoreinfo(table, notes);

	/* No register survives a reset: rather no note than one that is made up. */
	if (regs)
		used += place_prstatus(table, notes + used, regs);
	memset(notes + used, 0, END_OF_NOTES);
	return place_elf_headers(table, used + END_OF_NOTES);
}
