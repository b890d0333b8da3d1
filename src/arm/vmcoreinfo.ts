/**
 * VMCOREINFO before the kernel has made its own: the ELF note that crash_save_vmcoreinfo_init() builds at
 * subsys_initcall (kernel/crash_core.c or kernel/vmcore_info.c), here from kallsyms, BTF and .notes at build time.
 * It makes a panic at start_kernel readable with stock tools.
 *
 * What only the running machine knows is added at the crash by stubs/crash: SYMBOL(mem_section) and its LENGTH,
 * VMALLOC_START, vmemmap, phys_base, pgtable_l5_enabled, MAX_PHYSMEM_BITS, KERNELOFFSET, sme_mask. KASLR moves every SYMBOL(): `symbolDigits` says
 * where their sixteen digits are.
 *
 * A line is left out when the kernel has no such type or symbol; lines that no reader can do without are `required`.
 */
import { ByteView } from '../bytes/byte-reader.js';
import { SaveoopsError } from '../errors.js';
import { NT_GNU_BUILD_ID } from '../formats/elf/elf-tables.js';
import { encodeNote, parseNotes } from '../formats/elf/notes.js';
import { imageWindow } from '../kernel/image-window.js';
import type { Kernel } from '../kernel/load-kernel.js';
import type { KernelFact } from '../kernel/evidence.js';
import type { KernelSymbolName } from '../stubs/shared-layout.js';

export interface SynthesisedVmcoreinfo {
  /** One ELF note, owner "VMCOREINFO", type 0, padded to four bytes. */
  readonly note: Uint8Array;
  /** The note's descriptor. */
  readonly text: string;
  /** Offsets in `note` of 16-digit hexadecimal addresses. */
  readonly symbolDigits: readonly number[];
}

/** "struct" or "struct.member,member": SIZE() of the first, OFFSET() of each member. */
const structures = [
  'mem_section: section_mem_map',
  'page: flags _refcount mapping lru _mapcount private compound_dtor compound_order compound_head compound_info',
  'pglist_data: node_zones nr_zones node_mem_map node_start_pfn node_spanned_pages node_id',
  'zone: free_area vm_stat spanned_pages',
  'free_area: free_list',
  'list_head: next prev',
  'vmap_area: va_start list',
  'printk_ringbuffer: desc_ring text_data_ring fail',
  'prb_desc_ring: count_bits descs infos head_id tail_id',
  'prb_desc: state_var text_blk_lpos',
  'prb_data_blk_lpos: begin next',
  'printk_info: seq ts_nsec text_len caller_id dev_info',
  'dev_printk_info: subsystem device',
  'prb_data_ring: size_bits data head_lpos tail_lpos',
  'atomic_long_t: counter',
  'latched_seq: val',
  'nodemask_t:',
];
/** Structures of which the kernel publishes offsets but no size. */
const withoutSize = new Set(['vmap_area']);
/** What vmcore-dmesg cannot do without. */
const required = new Set(['printk_ringbuffer', 'prb_desc_ring', 'prb_desc', 'printk_info', 'prb_data_ring']);

const symbols = [
  'init_uts_ns',
  '_stext',
  'vmap_area_list',
  'prb',
  'printk_rb_static',
  'clear_seq',
  'init_top_pgt',
  'node_data',
  // Of kernels without CONFIG_NUMA.
  'mem_map',
  'contig_page_data',
];

const enumerators = [
  'NR_FREE_PAGES',
  'PG_lru',
  'PG_private',
  'PG_swapcache',
  'PG_swapbacked',
  'PG_slab',
  'PG_hwpoison',
  'HUGETLB_PAGE_DTOR',
];

const kallsymsTables = [
  'kallsyms_names',
  'kallsyms_num_syms',
  'kallsyms_token_table',
  'kallsyms_token_index',
  'kallsyms_offsets',
  'kallsyms_relative_base',
  'kallsyms_addresses',
] as const;

/** Throws `missing-fact` when the kernel lacks what every reader needs. */
export function synthesiseVmcoreinfo(kernel: Kernel): SynthesisedVmcoreinfo {
  const text = lines(kernel).join('\n') + '\n';
  const note = encodeNote({ name: 'VMCOREINFO', type: 0, desc: Buffer.from(text, 'latin1') });
  const start = Buffer.from(note).indexOf(text, 0, 'latin1');
  const symbolDigits = [...text.matchAll(/^SYMBOL\([^)]*\)=([0-9a-f]{16})$/gm)].map(
    (match) => start + match.index + match[0].length - 16,
  );
  return { note, text, symbolDigits };
}

function lines(kernel: Kernel): string[] {
  const { btf, kallsyms, bzImage } = kernel;
  const out = [`OSRELEASE=${bzImage.release}`];
  const buildId = findBuildId(kernel);
  if (buildId !== undefined) out.push(`BUILD-ID=${buildId}`);
  out.push('PAGESIZE=4096');
  const symbol = (name: string, address: bigint | undefined): void => {
    if (address !== undefined) out.push(`SYMBOL(${name})=${address.toString(16).padStart(16, '0')}`);
  };
  for (const name of symbols) symbol(name, kallsyms.address(name));
  symbol('swapper_pg_dir', kallsyms.address('init_top_pgt')); // a macro for it on x86-64
  for (const name of kallsymsTables) symbol(name, kallsyms.tables[name]);
  const nodeStates = kallsyms.address('node_states');
  const online = btf.findEnumValue('N_ONLINE');
  if (nodeStates !== undefined && online !== undefined && btf.hasType('nodemask_t')) {
    // node_online_map is a macro for node_states[N_ONLINE]: include/linux/nodemask.h
    symbol('node_online_map', nodeStates + BigInt(online * btf.sizeOf('nodemask_t')));
  }
  if (btf.hasMember('uts_namespace', 'name')) {
    out.push(`OFFSET(uts_namespace.name)=${btf.memberOffset('uts_namespace', 'name')}`);
  }
  for (const each of structures) {
    // Published only together with the list that they describe, which 6.9 removed.
    if (each.startsWith('vmap_area:') && kallsyms.address('vmap_area_list') === undefined) continue;
    out.push(...structureLines(kernel, each));
  }
  for (const [type, member] of [
    ['zone', 'free_area'],
    ['free_area', 'free_list'],
  ] as const) {
    if (btf.hasMember(type, member)) out.push(`LENGTH(${type}.${member})=${btf.arrayLength(type, member)}`);
  }
  for (const member of ['subsystem', 'device'] as const) {
    if (!btf.hasMember('dev_printk_info', member)) continue;
    out.push(`LENGTH(printk_info_${member})=${btf.arrayLength('dev_printk_info', member)}`);
  }
  for (const name of enumerators) {
    const value = btf.findEnumValue(name);
    if (value !== undefined) out.push(`NUMBER(${name})=${value}`);
  }
  const head = btf.findEnumValue('PG_head');
  if (head !== undefined) out.push(`NUMBER(PG_head_mask)=${2 ** head}`);
  out.push(...constants(kernel));
  return out;
}

/**
 * Values that are preprocessor macros in the kernel, so in neither kallsyms nor BTF (x86-64 with
 * CONFIG_SPARSEMEM_EXTREME, as every distribution builds it): arch/x86/include/asm/sparsemem.h,
 * include/linux/page-flags.h, and src/kernel/image-window.ts.
 */
function constants(kernel: Kernel): string[] {
  const out = ['NUMBER(SECTION_SIZE_BITS)=27', `NUMBER(KERNEL_IMAGE_SIZE)=${imageWindow(kernel)}`];
  if (kernel.kallsyms.address('node_data') !== undefined && kernel.btf.hasType('nodemask_t')) {
    // MAX_NUMNODES: a nodemask_t has one bit a node.
    out.push(`LENGTH(node_data)=${8 * kernel.btf.sizeOf('nodemask_t')}`);
  }
  const pageTypes = kernel.btf.findEnumValue('PGTY_buddy');
  if (pageTypes === undefined) {
    out.push('NUMBER(PAGE_BUDDY_MAPCOUNT_VALUE)=-129', 'NUMBER(PAGE_OFFLINE_MAPCOUNT_VALUE)=-257');
  } else {
    // Since 6.12 a page type is a byte at the top of _mapcount: PAGE_*_MAPCOUNT_VALUE = PGTY_* << 24.
    for (const name of ['buddy', 'offline', 'hugetlb', 'slab', 'unaccepted']) {
      const value = kernel.btf.findEnumValue(`PGTY_${name}`);
      if (value === undefined) continue;
      out.push(`NUMBER(PAGE_${name.toUpperCase()}_MAPCOUNT_VALUE)=${(value << 24) | 0}`);
    }
  }
  return out;
}

function structureLines({ btf, bzImage }: Kernel, description: string): string[] {
  const [type = '', members = ''] = description.split(':');
  if (!btf.hasType(type)) {
    if (!required.has(type)) return [];
    throw new SaveoopsError('missing-fact', `the kernel has no structure ${type}`, {
      where: `${bzImage.release}, BTF`,
      found: 'no such type',
      wanted: 'the printk ring buffer of Linux 5.10 and later',
      hint: 'kernels before 5.10 are not supported',
    });
  }
  const out = withoutSize.has(type) ? [] : [`SIZE(${type})=${btf.sizeOf(type)}`];
  for (const member of members.split(' ').filter((name) => name !== '')) {
    if (btf.hasMember(type, member)) out.push(`OFFSET(${type}.${member})=${btf.memberOffset(type, member)}`);
  }
  return out;
}

function findBuildId({ elf }: Kernel): string | undefined {
  const section = elf.findSection('.notes');
  if (section === undefined) return undefined;
  const notes = parseNotes(new ByteView(elf.sectionBytes(section), `${elf.source}: .notes`));
  const note = notes.find((each) => each.name === 'GNU' && each.type === NT_GNU_BUILD_ID);
  return note === undefined ? undefined : Buffer.from(note.desc).toString('hex');
}

/**
 * Variables that the crash stub would publish in VMCOREINFO but this kernel's own note does not: Linux 6.9 replaced
 * vmap_area_list there by VMALLOC_START, and a little later vmemmap came. By that one symbol: a heuristic; a line too
 * many or too few of these two harms no reader that knows the kernel.
 */
export function unpublishedSymbols({ kallsyms }: Kernel): readonly KernelSymbolName[] {
  return kallsyms.address('vmap_area_list') === undefined ? [] : ['vmalloc_base', 'vmemmap_base'];
}

/**
 * SECTIONS_PER_ROOT (include/linux/mmzone.h): how many mem_section structures a page holds. The crash stub makes
 * LENGTH(mem_section) of it, which depends on the number of page-table levels. 0: the kernel has no such type.
 */
export function sectionsPerRoot({ btf }: Kernel): number {
  return btf.hasType('mem_section') ? Math.floor(4096 / btf.sizeOf('mem_section')) : 0;
}

/** The lines as facts for the manifest, each with its source. */
export function vmcoreinfoFacts({ text }: SynthesisedVmcoreinfo): KernelFact[] {
  return text
    .trimEnd()
    .split('\n')
    .map((line) => {
      const equals = line.lastIndexOf('=');
      const key = line.slice(0, equals);
      return { name: `VMCOREINFO ${key}`, value: line.slice(equals + 1), source: sourceOf(key) };
    });
}

function sourceOf(key: string): string {
  if (key === 'OSRELEASE') return 'setup header kernel_version';
  if (key === 'BUILD-ID') return '.notes';
  if (key.startsWith('SYMBOL(')) return 'kallsyms';
  if (key === 'NUMBER(KERNEL_IMAGE_SIZE)') return 'level2_kernel_pgt';
  const constant = /PAGESIZE|SECTION_SIZE_BITS|PAGE_(BUDDY|OFFLINE)_MAPCOUNT_VALUE/.test(key);
  return constant ? 'constant of x86-64, src/arm/vmcoreinfo.ts' : 'BTF';
}
