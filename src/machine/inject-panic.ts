/**
 * Makes a running kernel call panic() at the entry of any of its functions, with a message of our choice. The
 * kernel is a stock one: nothing in it helps, QEMU's debugger port does all.
 */
import { SaveoopsError } from '../errors.js';
import type { Manifest } from '../payload/manifest.js';
import type { GdbRemote, GdbStop } from './gdb-remote.js';

/** Where loaders put the protected-mode part of a bzImage; manifest.debug counts from there. */
const protectedModeStart = 0x100000n;

export interface PanicInjection {
  /** The kernel function at whose entry the panic happens. */
  readonly functionName: string;
  /** The whole message: printable, without `%`, as panic() takes it for a format. */
  readonly message: string;
  /** Link-time virtual address of a kernel function, or undefined. */
  readonly linkAddressOf: (name: string) => bigint | undefined;
  /**
   * How to learn the KASLR offset: from the payload's entry stub, or given (0n for `nokaslr`), for a kernel booted
   * without Saveoops.
   */
  readonly kaslr:
    | { readonly kind: 'payload'; readonly debug: Manifest['debug'] }
    | { readonly kind: 'known'; readonly offset: bigint };
  /** Milliseconds for the machine to arrive at the function. */
  readonly timeoutMs: number;
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

/** As injectPanic, to a machine that stands at the entry of panic(). */
export async function enterPanic(gdb: GdbRemote, injection: PanicInjection): Promise<InjectedPanic> {
  if (!/^[\x20-\x24\x26-\x7e]{1,200}$/.test(injection.message)) throw new RangeError('message for panic()');
  const functionLink = linkAddress(injection, injection.functionName);
  const panicLink = linkAddress(injection, 'panic');
  const deadline = Date.now() + injection.timeoutMs;
  const kaslrOffset =
    injection.kaslr.kind === 'known'
      ? injection.kaslr.offset
      : (await followEntryStub(gdb, injection.kaslr.debug, deadline)).kaslrOffset;
  const functionEntry = BigInt.asUintN(64, functionLink + kaslrOffset);
  await gdb.setBreakpoint(functionEntry);
  const stop = await runTo(gdb, functionEntry, deadline, `the entry of ${injection.functionName}`);
  await gdb.removeBreakpoint(functionEntry);
  await callPanic(gdb, BigInt.asUintN(64, panicLink + kaslrOffset), injection.message);
  return { kaslrOffset, thread: stop.thread ?? '1' };
}

function linkAddress(injection: PanicInjection, name: string): bigint {
  const address = injection.linkAddressOf(name);
  if (address !== undefined) return address;
  throw new SaveoopsError('missing-fact', `the kernel has no function ${name}`, {
    where: "the primary kernel's symbols",
    found: 'no such name',
    wanted: 'a function of this kernel that is not inlined',
  });
}

export interface ArmedEntry {
  /** Virtual address minus link-time address; 0n without KASLR. */
  readonly kaslrOffset: bigint;
  /** Physical address of the primary's boot_params. */
  readonly bootParams: bigint;
}

/**
 * Follows the entry stub: the jump into its copy in the crash region, where RAX is the copy's address, and the last
 * jump, where RCX is the KASLR offset. Both run with paging off or identity-mapped, so addresses are physical. The
 * machine stands at that last jump afterwards. Throws `tool` when it does not come there by `deadline` (Date.now()).
 */
export async function followEntryStub(
  gdb: GdbRemote,
  debug: Manifest['debug'],
  deadline: number,
): Promise<ArmedEntry> {
  const leave = protectedModeStart + BigInt(debug.leaveImage);
  const lastJump = BigInt(debug.enterKernel - debug.stub);
  await gdb.setBreakpoint(leave);
  for (;;) {
    const stop = await runTo(gdb, leave, deadline, "the entry stub's move into the crash region");
    const { rax } = await gdb.registers();
    if (await isStubCopy(gdb, rax, debug)) {
      await gdb.removeBreakpoint(leave);
      const enter = rax + lastJump;
      await gdb.setBreakpoint(enter);
      await runTo(gdb, enter, deadline, "the entry stub's last jump");
      const { rcx, rsi } = await gdb.registers();
      await gdb.removeBreakpoint(enter);
      return { kaslrOffset: BigInt.asIntN(64, rcx), bootParams: rsi };
    }
    // Syslinux itself lives at 1 MiB before it moves the image there: its code passed by this address.
    await gdb.stepFrom(leave, stop);
  }
}

/** The copy has the same code at its last jump as the image has. */
async function isStubCopy(gdb: GdbRemote, base: bigint, debug: Manifest['debug']): Promise<boolean> {
  const size = 16;
  const image = protectedModeStart + BigInt(debug.stub);
  if (base < protectedModeStart || base === image || base >= 1n << 52n) return false;
  const jump = BigInt(debug.enterKernel - debug.stub);
  await gdb.setPhysicalMemory(true);
  try {
    return (await gdb.readMemory(base + jump, size)).equals(await gdb.readMemory(image + jump, size));
  } catch (error) {
    // An address without memory behind it: RAX was something else.
    if (error instanceof SaveoopsError) return false;
    throw error;
  } finally {
    await gdb.setPhysicalMemory(false);
  }
}

/**
 * Runs until a CPU stands at `address`, where a breakpoint is set, and selects that CPU. `what` names the place in
 * errors. Throws `tool` for another stop and when none comes by `deadline` (Date.now()).
 */
export async function runTo(
  gdb: GdbRemote,
  address: bigint,
  deadline: number,
  what: string,
): Promise<GdbStop> {
  gdb.continue();
  let stop: GdbStop;
  try {
    stop = await gdb.waitForStop(Math.max(1, deadline - Date.now()));
  } catch (error) {
    throw new SaveoopsError('tool', `the machine did not reach ${what}`, {
      where: `breakpoint at 0x${address.toString(16)}`,
      found: error instanceof SaveoopsError ? error.found : String(error),
      wanted: 'a stop there',
      cause: error,
    });
  }
  if (stop.thread !== undefined) await gdb.selectThread(stop.thread);
  const { rip } = await gdb.registers();
  if (rip === address) return stop;
  throw new SaveoopsError('tool', `the machine did not reach ${what}`, {
    where: `breakpoint at 0x${address.toString(16)}`,
    found: `a stop at 0x${rip.toString(16)}, signal ${stop.signal}`,
    wanted: 'a stop there',
  });
}

/** Free space between the function's frame and the message: more than any message. */
const messageDistance = 256n;

/**
 * Turns the entry of a function into a call of panic(message) from it, on the selected CPU. The message goes onto
 * the unused stack, above the frames that panic() will push. Its return address is just behind the function's
 * first byte: the unwinder looks one byte before a return address, so the trace names the function; the word above
 * is the function's own return address, where the unwinder expects it.
 */
async function callPanic(gdb: GdbRemote, panic: bigint, message: string): Promise<void> {
  const { rip, rsp } = await gdb.registers();
  const text = rsp - messageDistance;
  const frame = text - 16n; // Keeps RSP = 8 modulo 16, as the ABI has it at a function's entry.
  const caller = await gdb.readMemory(rsp, 8);
  const words = Buffer.alloc(16);
  words.writeBigUInt64LE(rip + 1n, 0);
  words.set(caller, 8);
  await gdb.writeMemory(text, Buffer.from(message + '\0', 'latin1'));
  await gdb.writeMemory(frame, words);
  await gdb.writeRegister('rsp', frame);
  await gdb.writeRegister('rdi', text);
  await gdb.writeRegister('rax', 0n); // No vector registers, for a variadic function.
  await gdb.writeRegister('rip', panic);
}
