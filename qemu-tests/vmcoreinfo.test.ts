/** The VMCOREINFO that the build makes for early panics, against the one that the same kernel publishes later. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from '@jest/globals';
import { synthesiseVmcoreinfo } from '../src/arm/vmcoreinfo.js';
import { ByteView } from '../src/bytes/byte-reader.js';
import { PT_NOTE } from '../src/formats/elf/elf-tables.js';
import { parseNotes } from '../src/formats/elf/notes.js';
import { parseElf } from '../src/formats/elf/parse-elf.js';
import { loadKernel } from '../src/kernel/load-kernel.js';
import { runScenario } from '../src/machine/scenario.js';
import { check, guestBlock } from './harness/boot.js';
import { blockEnds, guestInitramfs, printBlock } from './harness/guest.js';
import { stockKernel } from './harness/payloads.js';

/** Lines that only the running machine knows: stubs/crash/main.c adds them. */
const runTimeKeys = new Set([
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

const folder = mkdtempSync(join(tmpdir(), 'svo-'));
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

const keyOf = (line: string): string => line.slice(0, line.lastIndexOf('='));

describe.each(['amd64', 'cloud-amd64'] as const)('%s', (flavour) => {
  test('every line of the synthesised note is the running kernel’s own, and none is missing', async () => {
    const kernel = stockKernel(flavour).vmlinuz;
    // /proc/kcore is an ELF core file of the running kernel, and carries its VMCOREINFO note.
    const initrd = await guestInitramfs(
      printBlock('kcore', 'dd if=/proc/kcore bs=4096 count=16 2>/dev/null | base64') + 'poweroff -f\n',
    );
    const result = await runScenario({
      machine: { boot: { kind: 'kernel', kernel, initrd, append: 'console=ttyS0,115200 quiet nokaslr' } },
      folder,
      timeout: 120,
      endAt: [new RegExp(blockEnds('kcore'))],
    });
    const core = Buffer.from(guestBlock(result, 'kcore').join(''), 'base64');
    const elf = parseElf(core, '/proc/kcore');
    const segment = elf.segments.find((each) => each.p_type === PT_NOTE);
    const notes = segment === undefined ? [] : parseNotes(new ByteView(elf.segmentBytes(segment), 'notes'));
    const own = notes.find((note) => note.name === 'VMCOREINFO');
    const running = Buffer.from(own?.desc ?? [])
      .toString('latin1')
      .trimEnd()
      .split('\n');

    const ours = synthesiseVmcoreinfo(await loadKernel(readFileSync(kernel), kernel))
      .text.trimEnd()
      .split('\n');
    check(result, () => {
      expect(running.length).toBeGreaterThan(90);
      expect([...ours].sort()).toEqual(running.filter((line) => !runTimeKeys.has(keyOf(line))).sort());
    });
  }, 180_000);
});
