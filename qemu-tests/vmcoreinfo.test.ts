/** The VMCOREINFO that the build makes for early panics, against the one that the same kernel publishes later. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from '@jest/globals';
import { synthesiseVmcoreinfo } from '../src/arm/vmcoreinfo.js';
import { loadKernel } from '../src/kernel/load-kernel.js';
import { runScenario } from '../src/machine/scenario.js';
import { few } from '../src/testkit/lanes.js';
import { bootPayload, check, guestBlock, serialConsole } from './harness/boot.js';
import { blockEnds, guestInitramfs } from './harness/guest.js';
import { stockKernel } from './harness/payloads.js';
import { injectorFor } from './inject.js';
import { vmcoreHead, vmcorePayload, vmcoreEnds } from './vmcore-guests.js';
import { keyOf, printKcore, runTimeKeys, vmcoreinfoOf } from './vmcoreinfo-lines.js';

const folder = mkdtempSync(join(tmpdir(), 'svo-'));
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

describe.each(['amd64', 'cloud-amd64'] as const)('%s', (flavour) => {
  test('every line of the synthesised note is the running kernel’s own, and none is missing', async () => {
    const kernel = stockKernel(flavour).vmlinuz;
    const initrd = await guestInitramfs(`${printKcore}poweroff -f\n`);
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

test.each(
  few(1, [
    ['4-level', 'qemu64', '0', '46'],
    ['5-level', 'max', '1', '52'],
  ]),
)(
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
