/** Ends a kernel at the entry of any of its functions without a word of its own: what only the next boot can capture. */
import type { GdbRemote } from './gdb-remote.js';
import type { KernelDebugger } from './kernel-debugger.js';
import type { Scenario } from './scenario.js';

/**
 * triple-fault: an exception that nothing handles. watchdog: it hangs, interrupts off, until the chipset's watchdog, which the entry
 * stub has started, resets the machine. hang: the same, until somebody presses the button. button: pressed while it runs.
 */
export const resetKinds = ['triple-fault', 'watchdog', 'button', 'hang'] as const;
export type ResetKind = (typeof resetKinds)[number];

/**
 * QEMU options for a machine that starts again after a reset. ICH9-LPC.noreboot: QEMU's default is a board that forbids its watchdog
 * to reset it.
 */
export const resetOptions: readonly string[] = [
  ...['-global', 'ICH9-LPC.noreboot=false'],
  ...['-action', 'reboot=reset', '-action', 'watchdog=reset'],
];

/** @param start takes the machine before its first instruction */
export function injectReset(
  kind: ResetKind,
  functionName: string,
  start: (gdb: GdbRemote) => Promise<KernelDebugger>,
): Required<Pick<Scenario, 'debug' | 'meanwhile'>> {
  let arrived: () => void = () => undefined;
  const arrival = new Promise<void>((resolve) => (arrived = resolve));
  return {
    debug: async (gdb) => {
      const kernel = await start(gdb);
      await kernel.arriveAt(functionName);
      if (kind === 'triple-fault') await kernel.tripleFault();
      else if (kind !== 'button') await kernel.hang();
      // QEMU lets the machine run on as it answers.
      await gdb.detach();
      arrived();
    },
    meanwhile: async (_, connect) => {
      const qmp = await connect();
      await arrival;
      if (kind === 'button' || kind === 'hang') await qmp.systemReset();
    },
  };
}
