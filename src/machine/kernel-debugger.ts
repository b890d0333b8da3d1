/**
 * A stock kernel under QEMU's debugger port: finds where KASLR put it, stops CPUs at its functions, and makes them
 * call others. Nothing in the kernel helps.
 */
import { SaveoopsError } from '../errors.js';
import type { Manifest } from '../payload/manifest.js';
import type { GdbRemote, GdbStop } from './gdb-remote.js';

/** Where loaders put the protected-mode part of a bzImage; manifest.debug counts from there. */
const protectedModeStart = 0x100000n;

export interface KernelFacts {
  /** Link-time virtual address of a kernel function, or undefined. */
  readonly linkAddressOf: (name: string) => bigint | undefined;
  /**
   * How to learn the KASLR offset: from the payload's entry stub, or given (0n for `nokaslr`), for a kernel booted
   * without Saveoops.
   */
  readonly kaslr:
    | { readonly kind: 'payload'; readonly debug: Manifest['debug'] }
    | { readonly kind: 'known'; readonly offset: bigint };
  /** Milliseconds for the machine to arrive at all the places together. */
  readonly timeoutMs: number;
}

/** Free space between a function's frame and text for the function called: more than any text. */
const textDistance = 256n;

export class KernelDebugger {
  readonly gdb: GdbRemote;
  /** Virtual address minus link-time address; 0n without KASLR. */
  readonly kaslrOffset: bigint;
  readonly #facts: KernelFacts;
  readonly #deadline: number;

  private constructor(gdb: GdbRemote, facts: KernelFacts, deadline: number, kaslrOffset: bigint) {
    this.gdb = gdb;
    this.#facts = facts;
    this.#deadline = deadline;
    this.kaslrOffset = kaslrOffset;
  }

  /** Takes a machine that stands before its first instruction. Throws `tool` when the entry stub is not reached. */
  static async start(gdb: GdbRemote, facts: KernelFacts): Promise<KernelDebugger> {
    const deadline = Date.now() + facts.timeoutMs;
    const { kaslr } = facts;
    const offset =
      kaslr.kind === 'known' ? kaslr.offset : (await followEntryStub(gdb, kaslr.debug, deadline)).kaslrOffset;
    return new KernelDebugger(gdb, facts, deadline, offset);
  }

  /** Virtual address of a kernel function. Throws `missing-fact`. */
  addressOf(name: string): bigint {
    return BigInt.asUintN(64, linkAddress(this.#facts, name) + this.kaslrOffset);
  }

  /**
   * Runs until a CPU enters a function, and selects that CPU, whose QEMU thread id it gives.
   * @param onlyThread this CPU alone runs, the others stand still
   * @throws `missing-fact` for an unknown function, `tool` when it is not entered in time or QEMU ends
   */
  async arriveAt(name: string, onlyThread?: string): Promise<string> {
    const entry = this.addressOf(name);
    await this.gdb.setBreakpoint(entry);
    const stop = await runTo(this.gdb, entry, this.#deadline, `the entry of ${name}`, onlyThread);
    await this.gdb.removeBreakpoint(entry);
    return stop.thread ?? '1';
  }

  /** Has the selected CPU stand still for good, interrupts off, from where it stands once it runs. Its code there is gone. */
  async hang(): Promise<void> {
    const { rip, eflags } = await this.gdb.registers();
    await this.gdb.writeRegister('eflags', eflags & ~interruptFlag);
    await this.gdb.writeMemory(rip, endlessLoop);
  }

  /** Has the selected CPU shut down, which resets the machine, once it runs. */
  async tripleFault(): Promise<void> {
    const { rip } = await this.gdb.registers();
    await this.gdb.writeMemory(rip, noHandlers);
  }

  /**
   * Turns the entry of a function, where the selected CPU stands, into a call of another one from it. A text argument
   * goes onto the unused stack, above the frames that the called function will push. Its return address is just
   * behind the entered function's first byte: the unwinder looks one byte before a return address, so the trace
   * names the function; the word above is the function's own return address, where the unwinder expects it. The
   * called function must not return.
   */
  async call(name: string, argument: bigint | string): Promise<void> {
    const { gdb } = this;
    const target = this.addressOf(name);
    const { rip, rsp } = await gdb.registers();
    const text = rsp - textDistance;
    const frame = text - 16n; // Keeps RSP = 8 modulo 16, as the ABI has it at a function's entry.
    const words = Buffer.alloc(16);
    words.writeBigUInt64LE(rip + 1n, 0);
    words.set(await gdb.readMemory(rsp, 8), 8);
    if (typeof argument === 'string') await gdb.writeMemory(text, Buffer.from(`${argument}\0`, 'latin1'));
    await gdb.writeMemory(frame, words);
    await gdb.writeRegister('rsp', frame);
    await gdb.writeRegister('rdi', typeof argument === 'string' ? text : argument);
    await gdb.writeRegister('rax', 0n); // No vector registers, for a variadic function.
    await gdb.writeRegister('rip', target);
  }
}

/** `1: hlt; jmp 1b`: a loop that costs the host nothing. */
const endlessLoop = Buffer.from([0xf4, 0xeb, 0xfd]);
/** `lidt 2(%rip); ud2`, and a table of no entry: an exception that has no handler, nor has the one for that. */
const noHandlers = Buffer.from([0x0f, 0x01, 0x1d, 2, 0, 0, 0, 0x0f, 0x0b, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
const interruptFlag = 0x200n;

/** Link-time address of a function. Throws `missing-fact`. */
export function linkAddress(facts: Pick<KernelFacts, 'linkAddressOf'>, name: string): bigint {
  const address = facts.linkAddressOf(name);
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
 * errors; with `onlyThread` that CPU alone runs. Throws `tool` for another stop and when none comes by `deadline`
 * (Date.now()).
 */
export async function runTo(
  gdb: GdbRemote,
  address: bigint,
  deadline: number,
  what: string,
  onlyThread?: string,
): Promise<GdbStop> {
  gdb.continue(onlyThread);
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
