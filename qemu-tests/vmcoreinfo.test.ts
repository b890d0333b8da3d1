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
import { bootPayload, check, guestBlock, serialConsole } from './harness/boot.js';
import { blockEnds, guestInitramfs, printBlock } from './harness/guest.js';
import { stockKernel } from './harness/payloads.js';
import { injectorFor } from './inject.js';
import { vmcoreHead, vmcorePayload, vmcoreEnds } from './vmcore-guests.js';

/** Lines that only the running machine knows: stubs/crash/core-file.c adds them; the second test has them. */
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

/** Lines of the VMCOREINFO note in the head of a core file. */
function vmcoreinfoOf(core: Buffer): string[] {
  const elf = parseElf(core, 'the core file');
  const segment = elf.segments.find((each) => each.p_type === PT_NOTE);
  const notes = segment === undefined ? [] : parseNotes(new ByteView(elf.segmentBytes(segment), 'notes'));
  const own = notes.find((note) => note.name === 'VMCOREINFO');
  return Buffer.from(own?.desc ?? [])
    .toString('latin1')
    .trimEnd()
    .split('\n');
}

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
    const running = vmcoreinfoOf(Buffer.from(guestBlock(result, 'kcore').join(''), 'base64'));

    const ours = synthesiseVmcoreinfo(await loadKernel(readFileSync(kernel), kernel))
      .text.trimEnd()
      .split('\n');
    check(result, () => {
      expect(running.length).toBeGreaterThan(90);
      expect([...ours].sort()).toEqual(running.filter((line) => !runTimeKeys.has(keyOf(line))).sort());
    });
  }, 180_000);
});

test.each([
  ['4-level', 'qemu64', '0', '46'],
  ['5-level', 'max', '1', '52'],
])(
  'completed at the crash, with %s paging, it is the note that the same machine’s kernel makes later',
  async (_, cpu, level5, bits) => {
    const dir = await vmcorePayload('amd64');
    const injector = await injectorFor(dir);
    // Without KASLR the same machine puts everything in the same place again.
    const options = { extra: ['-cpu', cpu], extraAppend: `${serialConsole} nokaslr`, endAt: vmcoreEnds };
    const early = await bootPayload(dir, {
      ...options,
      debug: async (gdb) => {
        await injector.panicAt(gdb, 'rest_init', 'before the kernel has a note of its own');
      },
    });
    const late = await bootPayload(dir, options);
    const running = vmcoreinfoOf(vmcoreHead(late)).filter((line) => keyOf(line) !== 'CRASHTIME');
    check(early, () => {
      expect(running).toContain(`NUMBER(pgtable_l5_enabled)=${level5}`);
      expect(running).toContain(`NUMBER(MAX_PHYSMEM_BITS)=${bits}`);
      for (const key of ['SYMBOL(mem_section)', 'NUMBER(phys_base)', 'KERNELOFFSET']) {
        expect(running.map(keyOf)).toContain(key);
      }
      expect(vmcoreinfoOf(vmcoreHead(early)).sort()).toEqual(running.sort());
    });
  },
  300_000,
);
