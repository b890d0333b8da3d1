/** Exceptions before the kernel has its own handlers: it prints them and halts, without panic(). */
import { test } from '@jest/globals';
import { functionAddress, readKernelSymbols } from '../src/machine/kernel-functions.js';
import { few } from '../src/testkit/lanes.js';
import { bootPayload, captured } from './harness/boot.js';
import { payload, stockKernel } from './harness/payloads.js';

// From the first C functions of the kernel to trap_init(), which ends the early handlers' time.
test.each(few(1, ['start_kernel', 'setup_arch', 'mm_init']))(
  'a page fault at %s is captured',
  async (name) => {
    const kallsyms = await readKernelSymbols(stockKernel('amd64').vmlinuz);
    const address = functionAddress(kallsyms, name);
    if (address === undefined) throw new Error(`no function ${name}`);
    // An address that nothing maps, different in every run: the handler prints it.
    const wild = 0xffffffffe0000000n + BigInt(Math.floor(Math.random() * 0x10000)) * 0x1000n;
    const result = await bootPayload(await payload({ flavour: 'amd64' }), {
      extraAppend: 'nokaslr',
      debug: async (gdb) => {
        await gdb.setBreakpoint(address);
        gdb.continue();
        await gdb.waitForStop(120_000);
        await gdb.removeBreakpoint(address);
        await gdb.writeRegister('rip', wild);
        await gdb.detach();
      },
    });
    captured(result, `RIP: 0010:0x${wild.toString(16)}`);
  },
  240_000,
);
