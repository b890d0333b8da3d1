/** Where the crash region of a running machine is. */
import type { Machine } from '../../src/machine/machine.js';

/**
 * Physical address of the crash region, `size` bytes (manifest.memory.size), from the memory map that the guest prints
 * on its serial console. Throws an Error when it prints none.
 */
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
