/** What ends a crash kernel that dies itself, on its own command line as `saveoops build` writes it: the machine restarts. */
import { expect, test } from '@jest/globals';
import type { KernelDebugger } from '../src/machine/kernel-debugger.js';
import { few } from '../src/testkit/lanes.js';
import { bootPayload, check, serialConsole } from './harness/boot.js';
import { injectorFor } from './inject.js';
import { loop, nullDereference } from './kinds/kinds.js';
import { payload } from './harness/payloads.js';

interface Death {
  readonly what: string;
  /** The kernel function at whose entry it happens. */
  readonly scene: string;
  readonly crime: (kernel: KernelDebugger) => Promise<void>;
  /** On the serial port, in this order; the machine restarts behind them. */
  readonly signature: readonly string[];
}

const restarts = 'Rebooting in 10 seconds..';

const deaths: readonly Death[] = [
  {
    what: 'an oops before init is a panic',
    scene: 'path_mount', // kdevtmpfs, for which the first task waits
    crime: nullDereference,
    signature: ['Kernel panic - not syncing: Fatal exception', restarts],
  },
  {
    what: 'an oops in a program of init costs that program only',
    scene: '__x64_sys_syslog',
    crime: nullDereference,
    signature: [
      'RIP: 0010:__x64_sys_sethostname',
      'saveoops: no /proc/vmcore',
      'saveoops: reboot in 0 seconds',
    ],
  },
  {
    what: 'a loop in a program of init is a panic',
    scene: '__x64_sys_syslog',
    crime: loop,
    signature: ['Kernel panic - not syncing: softlockup: hung tasks', restarts],
  },
];

test.each(few(1, deaths).map((death) => [death.what, death] as const))(
  '%s',
  async (_, { scene, crime, signature }) => {
    const dir = await payload({
      flavour: 'amd64',
      crashAppend: 'saveoops.hold=0',
      name: 'crash-kernel-dies',
    });
    const { kernelAt } = await injectorFor(dir);
    const result = await bootPayload(dir, {
      label: 'saveoops-crash',
      // Only the time: a CPU is stuck after twice as long.
      extraAppend: `${serialConsole} sysctl.kernel.watchdog_thresh=2`,
      endAt: [],
      timeout: 150,
      debug: async (gdb) => {
        const kernel = await kernelAt(gdb, 0n); // nokaslr
        await kernel.arriveAt(scene);
        await crime(kernel);
        await gdb.detach();
      },
    });
    check(result, () => {
      let at = 0;
      for (const words of signature) {
        expect(result.serial.slice(at)).toContain(words);
        at = result.serial.indexOf(words, at);
      }
      expect(result.end).toMatchObject({ kind: 'exit', code: 0 });
    });
  },
  240_000,
);
