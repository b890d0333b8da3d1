/** A guest that tells what machine it runs on and then panics. */
import type { ScenarioResult } from '../../src/machine/scenario.js';
import { guestBlock } from '../harness/boot.js';
import { guestInitramfs, printBlock } from '../harness/guest.js';

export const guestPanic = 'Kernel panic - not syncing: sysrq triggered crash';

export async function machineGuest(): Promise<string> {
  const tell = `
echo "flags $(sed -n 's/^flags[^:]*: //p' /proc/cpuinfo | head -n 1)"
echo "cpus $(grep -c '^processor' /proc/cpuinfo)"
echo "product $(cat /sys/class/dmi/id/product_name)"
echo "cmdline $(cat /proc/cmdline)"
echo "total $(sed -n 's/^MemTotal: *//p' /proc/meminfo)"
for map in /sys/firmware/memmap/[0-9]*; do
  [ "$(cat $map/type)" != 'System RAM' ] || echo "ram $(cat $map/start) $(cat $map/end)"
done`;
  // stty waits until all is on the serial port: the panic would overtake it.
  return await guestInitramfs(`${printBlock('machine', tell)}stty -echo\necho c >/proc/sysrq-trigger\n`);
}

export interface MachineFacts {
  /** Of the first CPU, as /proc/cpuinfo has them. */
  readonly flags: ReadonlySet<string>;
  readonly cpus: number;
  /** What the board calls itself. */
  readonly product: string;
  readonly cmdline: string;
  /** RAM in the memory map as the kernel got it, without the crash region: bytes. */
  readonly ram: number;
  /** RAM that the kernel uses: bytes. */
  readonly memTotal: number;
}

export function machineFacts(result: ScenarioResult): MachineFacts {
  const lines = guestBlock(result, 'machine');
  const all = (word: string): string[] =>
    lines.filter((line) => line.startsWith(`${word} `)).map((line) => line.slice(word.length + 1));
  const one = (word: string): string => all(word)[0] ?? '';
  return {
    flags: new Set(one('flags').split(' ')),
    cpus: Number(one('cpus')),
    product: one('product'),
    cmdline: one('cmdline'),
    ram: all('ram')
      .map((range) => range.split(' ').map(Number))
      .reduce((sum, [start = 0, end = 0]) => sum + end - start + 1, 0),
    memTotal: 1024 * Number.parseInt(one('total'), 10),
  };
}
