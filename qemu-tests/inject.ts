/** Panics of our making in payloads under test: injectPanic() with the symbols of the payload's own kernel. */
import { join } from 'node:path';
import { readManifest } from '../src/image/payload-folder.js';
import type { Kallsyms } from '../src/formats/kallsyms/kallsyms.js';
import {
  enterPanic,
  injectPanic,
  type InjectedPanic,
  type PanicInjection,
} from '../src/machine/inject-panic.js';
import { KernelDebugger } from '../src/machine/kernel-debugger.js';
import { functionAddress, readKernelSymbols, requireFunction } from '../src/machine/kernel-functions.js';
import type { GdbRemote } from '../src/machine/gdb-remote.js';

export interface Injector {
  /** Link-time virtual address of a function of the payload's primary kernel. Throws `missing-fact`. */
  readonly addressOf: (functionName: string) => bigint;
  /** Link-time virtual address of the one symbol of this name, code or data. Throws for none. */
  readonly symbol: (name: string) => bigint;
  /**
   * For bootPayload()'s `debug`: the machine enters panic(message) from the entry of `functionName`.
   * @param kaslr default: from the payload's entry stub
   */
  readonly panicAt: (
    gdb: GdbRemote,
    functionName: string,
    message: string,
    kaslr?: PanicInjection['kaslr'],
  ) => Promise<InjectedPanic>;
  /** As panicAt, but the machine stands at the entry of panic(), and the debugger stays. */
  readonly standAtPanic: Injector['panicAt'];
  /** For bootPayload()'s `debug`: the primary kernel in the test's own hands, its KASLR offset known. */
  readonly debuggerOf: (gdb: GdbRemote) => Promise<KernelDebugger>;
  /** The same for a kernel that is not started by the entry stub, with a known KASLR offset: 0n with `nokaslr`. */
  readonly kernelAt: (gdb: GdbRemote, offset: bigint) => Promise<KernelDebugger>;
}

/** Milliseconds; on a busy host a boot takes several times what it takes on an idle one. */
const arrival = 150_000;
const symbols = new Map<string, Promise<Kallsyms>>();

/** Reads the symbols of a payload's primary kernel, once for each kernel: an xz one takes seconds. */
export async function injectorFor(dir: string): Promise<Injector> {
  const { primary, debug } = await readManifest(dir);
  const reading = symbols.get(primary.sha256) ?? readKernelSymbols(join(dir, primary.kernelFile));
  symbols.set(primary.sha256, reading);
  const kallsyms = await reading;
  const linkAddressOf = (name: string): bigint | undefined => functionAddress(kallsyms, name);
  const injection = (
    functionName: string,
    message: string,
    kaslr: PanicInjection['kaslr'] = { kind: 'payload', debug },
  ): PanicInjection => ({
    functionName,
    message,
    linkAddressOf,
    kaslr,
    timeoutMs: arrival,
  });
  return {
    addressOf: (functionName) => requireFunction(kallsyms, functionName),
    symbol: (name) => {
      const [address, ...others] = new Set(kallsyms.addresses(name));
      if (address === undefined || others.length > 0) throw new Error(`${others.length} more of ${name}`);
      return address;
    },
    panicAt: (gdb, ...how) => injectPanic(gdb, injection(...how)),
    standAtPanic: (gdb, ...how) => enterPanic(gdb, injection(...how)),
    debuggerOf: (gdb) =>
      KernelDebugger.start(gdb, { linkAddressOf, kaslr: { kind: 'payload', debug }, timeoutMs: arrival }),
    kernelAt: (gdb, offset) =>
      KernelDebugger.start(gdb, { linkAddressOf, kaslr: { kind: 'known', offset }, timeoutMs: arrival }),
  };
}
