/** Makes a running kernel call panic() at the entry of any of its functions, with a message of our choice. */
import type { GdbRemote } from './gdb-remote.js';
import { KernelDebugger, linkAddress, type KernelFacts } from './kernel-debugger.js';

export interface PanicInjection extends KernelFacts {
  /** The kernel function at whose entry the panic happens. */
  readonly functionName: string;
  /** The whole message: printable, without `%`, as panic() takes it for a format. */
  readonly message: string;
}

export interface InjectedPanic {
  /** Virtual address minus link-time address; 0n without KASLR. */
  readonly kaslrOffset: bigint;
  /** QEMU's thread id of the CPU that entered the function. */
  readonly thread: string;
}

/**
 * From a machine that stands before its first instruction to one that runs, detached, inside panic(). Throws
 * `missing-fact` for an unknown function, `tool` when a breakpoint is not reached in time or QEMU ends.
 */
export async function injectPanic(gdb: GdbRemote, injection: PanicInjection): Promise<InjectedPanic> {
  const injected = await enterPanic(gdb, injection);
  // QEMU lets the machine run on as it answers.
  await gdb.detach();
  return injected;
}

/** As injectPanic, to a machine that stands at the entry of panic(), the debugger attached. */
export async function enterPanic(gdb: GdbRemote, injection: PanicInjection): Promise<InjectedPanic> {
  // A wrong name must not cost a boot.
  for (const name of [injection.functionName, 'panic']) linkAddress(injection, name);
  if (!/^[\x20-\x24\x26-\x7e]{1,200}$/.test(injection.message)) throw new RangeError('message for panic()');
  const kernel = await KernelDebugger.start(gdb, injection);
  const thread = await kernel.arriveAt(injection.functionName);
  await kernel.call('panic', injection.message);
  return { kaslrOffset: kernel.kaslrOffset, thread };
}
