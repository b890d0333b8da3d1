/** Boots a payload that panics, and runs a script on its /proc/vmcore in the crash kernel, with a disk to write to. */
import type { ScenarioResult } from '../src/machine/scenario.js';
import { bootPayload, serialConsole } from './harness/boot.js';
import { captureWith, DumpDisk } from './harness/dump-disk.js';
import { guestInitramfs } from './harness/guest.js';
import { payload } from './harness/payloads.js';
import { injectorFor } from './inject.js';

export interface DumpCase {
  /** `late`: sysrq-c from userspace, on the last CPU; else the function that panics. */
  readonly place: string;
  readonly cpus?: number;
  /** Runs in the crash kernel, with the dump disk mounted on /mnt. */
  readonly script: string;
  /** Of an injected panic. */
  readonly message: string;
}

export interface Dumped {
  readonly run: ScenarioResult;
  readonly disk: DumpDisk;
}

/** Userspace that crashes on the last CPU. */
export async function crashingGuest(): Promise<string> {
  return await guestInitramfs("taskset -c $(($(nproc) - 1)) sh -c 'echo c >/proc/sysrq-trigger'\n");
}

/** The caller removes the disk. */
export async function dumpAt(disk: DumpDisk, wanted: DumpCase): Promise<Dumped> {
  const { place, cpus = 1, script, message } = wanted;
  const late = place === 'late';
  const dir = await payload({
    flavour: 'amd64',
    initrds: late ? [await crashingGuest()] : [],
    append: 'sysrq_always_enabled',
    crashInitrd: await captureWith(script, 'amd64'),
    name: `dumps-${late ? 'late' : 'early'}`,
  });
  const injector = await injectorFor(dir);
  const run = await bootPayload(dir, {
    memory: 512,
    cpus,
    // The log from its first line on the wire, whenever the panic is.
    extraAppend: `${serialConsole} earlyprintk=serial,ttyS0,115200`,
    endAt: [],
    extra: disk.options,
    ...(!late && {
      debug: async (gdb): Promise<void> => {
        await injector.panicAt(gdb, place, message);
      },
    }),
  });
  return { run, disk };
}
