/** Panics of our making in payloads under test: injectPanic() with the symbols of the payload's own kernel. */
import { join } from 'node:path';
import { readManifest } from '../src/image/payload-folder.js';
import type { Kallsyms } from '../src/formats/kallsyms/kallsyms.js';
import { injectPanic, type InjectedPanic, type PanicInjection } from '../src/machine/inject-panic.js';
import { KernelDebugger } from '../src/machine/kernel-debugger.js';
import { functionAddress, readKernelSymbols, requireFunction } from '../src/machine/kernel-functions.js';
import type { GdbRemote } from '../src/machine/gdb-remote.js';

export interface Injector {
  /** Link-time virtual address of a function of the payload's primary kernel. Throws `missing-fact`. */
  readonly addressOf: (functionName: string) => bigint;
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
  /** For bootPayload()'s `debug`: the primary kernel in the test's own hands, its KASLR offset known. */
  readonly debuggerOf: (gdb: GdbRemote) => Promise<KernelDebugger>;
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
  return {
    addressOf: (functionName) => requireFunction(kallsyms, functionName),
    panicAt: (gdb, functionName, message, kaslr = { kind: 'payload', debug }) =>
      injectPanic(gdb, {
        functionName,
        message,
        linkAddressOf,
        kaslr,
        timeoutMs: arrival,
      }),
    debuggerOf: (gdb) =>
      KernelDebugger.start(gdb, { linkAddressOf, kaslr: { kind: 'payload', debug }, timeoutMs: arrival }),
  };
}
