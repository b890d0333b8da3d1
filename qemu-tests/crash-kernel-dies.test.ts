/** What ends a crash kernel that dies itself, on its own command line as `saveoops build` writes it: the machine restarts. */
import { expect, test } from '@jest/globals';
import type { KernelDebugger } from '../src/machine/kernel-debugger.js';
import { bootPayload, check, serialConsole } from './harness/boot.js';
import { injectorFor } from './inject.js';
import { loop, nullDereference } from './kinds/kinds.js';
import { payload } from './harness/payloads.js';

const deaths: readonly (readonly [string, (kernel: KernelDebugger) => Promise<void>, RegExp])[] = [
  [
    'panics before init',
    (kernel) => kernel.call('panic', 'Injected into the crash kernel'),
    /Kernel panic - not syncing: Injected into the crash kernel/,
  ],
  ['oopses in init', nullDereference, /Kernel panic - not syncing: Attempted to kill init!/],
  ['loops in init', loop, /Kernel panic - not syncing: softlockup: hung tasks/],
];
const scenes = ['kernel_init_freeable', 'path_mount', 'path_mount'];

test.each(deaths.map((death, index) => [...death, scenes[index] ?? ''] as const))(
  'a crash kernel that %s ends with a restart',
  async (_, crime, signature, scene) => {
    const dir = await payload({ flavour: 'amd64', name: 'crash-kernel-dies' });
    const { kernelAt } = await injectorFor(dir);
    const result = await bootPayload(dir, {
      label: 'saveoops-crash',
      // Only the time: a CPU is stuck after twice as long.
      extraAppend: `${serialConsole} sysctl.kernel.watchdog_thresh=2`,
      endAt: [],
      timeout: 120,
      debug: async (gdb) => {
        const kernel = await kernelAt(gdb, 0n); // nokaslr
        await kernel.arriveAt(scene);
        await crime(kernel);
        await gdb.detach();
      },
    });
    check(result, () => {
      expect(result.serial).toMatch(signature);
      expect(result.serial).toMatch(/Rebooting in 10 seconds\.\./);
      expect(result.end).toMatchObject({ kind: 'exit', code: 0 });
    });
  },
  240_000,
);
