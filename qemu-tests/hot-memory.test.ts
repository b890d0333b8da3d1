/**
 * RAM that is plugged in while the system runs. The kernel's page tables lie in it sooner or later, and no memory map of the boot
 * knows it: the crash stub finds both by itself.
 */
import { expect, test } from '@jest/globals';
import { PT_LOAD } from '../src/formats/elf/elf-tables.js';
import { parseElf } from '../src/formats/elf/parse-elf.js';
import { bootPayload, check, guestBlock, serialConsole } from './harness/boot.js';
import { guestPanic, vmcoreEnds, vmcoreHead, vmcorePayload } from './vmcore-guests.js';

const limit = 300_000;
const GiB = 1n << 30n;
const ready = 'guest: waiting for memory';

test(
  'a DIMM of 1 GiB: its memory is in /proc/vmcore, and the log comes back',
  async () => {
    // Where the DIMM lies is QEMU's business: above 4 GiB, where this machine had nothing.
    const dir = await vmcorePayload(
      'amd64',
      `
echo "${ready}"
until grep -q '^1[0-9a-f]\\{8\\}-.* : System RAM' /proc/iomem; do sleep 0.2; done
echo "guest: $(grep '^1[0-9a-f]\\{8\\}-.* : System RAM' /proc/iomem)"
# Processes that come now have their page tables there.
for i in 1 2 3 4 5 6 7 8; do sleep 1000 & done`,
    );
    const run = await bootPayload(dir, {
      memory: 768,
      timeout: 240,
      extra: ['-m', '768M,slots=2,maxmem=8G'],
      extraAppend: `${serialConsole} memhp_default_state=online_kernel`,
      endAt: vmcoreEnds,
      meanwhile: async (machine, connect) => {
        const qmp = await connect();
        const found = await machine.waitForLine([new RegExp(ready)], { timeoutMs: 200_000 });
        if (found.kind !== 'line') return;
        await qmp.execute('object-add', {
          'qom-type': 'memory-backend-ram',
          id: 'backend',
          size: Number(GiB),
        });
        await qmp.execute('device_add', { driver: 'pc-dimm', id: 'dimm', memdev: 'backend' });
        await machine.exited;
      },
    });
    check(run, () => {
      expect(run.serial).not.toMatch(/saveoops: E/);
      const [, from = '', to = ''] = /guest: ([0-9a-f]+)-([0-9a-f]+) : System RAM/.exec(run.serial) ?? [];
      const start = BigInt(`0x${from}`);
      const size = BigInt(`0x${to}`) + 1n - start;
      expect(size).toBe(GiB);
      const loads = parseElf(vmcoreHead(run), '/proc/vmcore').segments.filter(
        ({ p_type }) => p_type === PT_LOAD,
      );
      expect(loads.map(({ p_paddr, p_memsz }) => [p_paddr, BigInt(p_memsz)])).toContainEqual([start, size]);
      expect(guestBlock(run, 'dead log').join('\n')).toContain(guestPanic);
    });
  },
  limit,
);
