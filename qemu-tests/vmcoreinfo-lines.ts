/** VMCOREINFO as lines: of a core file's head, and which lines the build cannot know. */
import { ByteView } from '../src/bytes/byte-reader.js';
import { PT_NOTE } from '../src/formats/elf/elf-tables.js';
import { parseNotes } from '../src/formats/elf/notes.js';
import { parseElf } from '../src/formats/elf/parse-elf.js';
import { printBlock } from './harness/guest.js';

/** Lines that only the running machine knows: stubs/crash/core-file.c adds them. */
export const runTimeKeys: ReadonlySet<string> = new Set([
  'SYMBOL(mem_section)',
  'LENGTH(mem_section)',
  'NUMBER(VMALLOC_START)',
  'SYMBOL(vmemmap)',
  'NUMBER(phys_base)',
  'NUMBER(pgtable_l5_enabled)',
  'NUMBER(MAX_PHYSMEM_BITS)',
  'KERNELOFFSET',
  'NUMBER(sme_mask)',
]);

export const keyOf = (line: string): string => line.slice(0, line.lastIndexOf('='));

/** Guest script: /proc/kcore is an ELF core file of the running kernel, and carries its VMCOREINFO note. */
export const printKcore = printBlock('kcore', 'dd if=/proc/kcore bs=4096 count=16 2>/dev/null | base64');

/** Lines of the VMCOREINFO note in the head of a core file. */
export function vmcoreinfoOf(core: Buffer): string[] {
  const elf = parseElf(core, 'the core file');
  const segment = elf.segments.find((each) => each.p_type === PT_NOTE);
  const notes = segment === undefined ? [] : parseNotes(new ByteView(elf.segmentBytes(segment), 'notes'));
  const own = notes.find((note) => note.name === 'VMCOREINFO');
  return Buffer.from(own?.desc ?? [])
    .toString('latin1')
    .trimEnd()
    .split('\n');
}
