/** The crash region of a running machine, for tests that damage it. */
import type { GdbRemote } from '../../src/machine/gdb-remote.js';
import type { Machine } from '../../src/machine/machine.js';
import type { BootOptions } from './boot.js';

/** Milliseconds; on a busy host a boot takes several times what it takes on an idle one. */
const arrival = 150_000;

/**
 * Options of bootPayload() for a primary with `nokaslr` and a serial console: stops the machine at a function,
 * overwrites bytes of the crash region there, and hands the machine, stopped, to `then`.
 * @param at link-time address of the function
 * @param size of the region, bytes (manifest.memory.size)
 * @param place offset in the region
 * @param change gives what is written, of what is there
 */
export function damageRegion(
  at: bigint,
  size: number,
  place: number,
  change: (bytes: Buffer) => Buffer,
  then: (gdb: GdbRemote) => Promise<unknown>,
): Pick<BootOptions, 'debug' | 'meanwhile'> {
  let start: (machine: Machine) => void = () => undefined;
  const started = new Promise<Machine>((resolve) => (start = resolve));
  return {
    meanwhile: async (machine) => {
      start(machine);
      await machine.exited;
    },
    debug: async (gdb) => {
      await gdb.setBreakpoint(at);
      gdb.continue();
      await gdb.waitForStop(arrival);
      await gdb.removeBreakpoint(at);
      const address = BigInt((await regionBase(await started, size)) + place);
      await gdb.setPhysicalMemory(true);
      await gdb.writeMemory(address, change(await gdb.readMemory(address, 1)));
      await gdb.setPhysicalMemory(false);
      await then(gdb);
    },
  };
}

/** Physical address of the region, from the memory map that the guest prints. */
export async function regionBase(machine: Machine, size: number): Promise<number> {
  // The serial console prints the whole log so far before this line.
  const found = await machine.waitForLine([/console \[ttyS0\] enabled/], { timeoutMs: 60_000 });
  if (found.kind !== 'line') throw new Error(`no console: ${found.kind}`);
  for (const line of machine.lines) {
    const match = /BIOS-e820: \[mem 0x([0-9a-f]+)-0x([0-9a-f]+)\] reserved/.exec(line);
    const [from, to] = [match?.[1], match?.[2]].map((digits) => Number.parseInt(digits ?? '', 16));
    if (from !== undefined && to !== undefined && to - from + 1 === size) return from;
  }
  throw new Error(`no reserved range of ${size} bytes in the memory map`);
}
