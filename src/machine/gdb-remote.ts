/**
 * A debugger of a QEMU machine: a client of the GDB remote serial protocol, of which QEMU's gdbstub is the only
 * peer. Sources: the GDB manual's appendix "Remote Protocol" (packets, stop replies), and QEMU's "GDB usage"
 * (qemu.PhyMemMode). All-stop mode with acknowledgements. No gdb is needed on the host.
 */
import type { Socket } from 'node:net';
import { SaveoopsError } from '../errors.js';
import { encodePacket, PacketReader, type GdbItem } from './gdb-packet.js';

/**
 * Registers in the order of QEMU's x86-64 target, which is also that of `g`. qemu-system-x86_64 shows this layout
 * in 16 and 32-bit mode too, with the upper halves zero.
 */
export const registerNames = [
  ...(['rax', 'rbx', 'rcx', 'rdx', 'rsi', 'rdi', 'rbp', 'rsp'] as const),
  ...(['r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15'] as const),
  ...(['rip', 'eflags', 'cs', 'ss', 'ds', 'es', 'fs', 'gs'] as const),
] as const;
export type RegisterName = (typeof registerNames)[number];
export type Registers = Readonly<Record<RegisterName, bigint>>;

/** Sixteen general registers and RIP have 8 bytes, the rest of registerNames 4. */
const wideRegisters = 17;

/** A stop, with the CPU that caused it. */
export interface GdbStop {
  /** GDB's signal number: 5 (SIGTRAP) for a breakpoint or step, 2 (SIGINT) after interrupt(). */
  readonly signal: number;
  /** QEMU's thread id, hexadecimal: CPU number + 1. */
  readonly thread: string | undefined;
}

export type BreakpointKind = 'hardware' | 'software';

/** Milliseconds that the stub may take for an answer; it answers in microseconds unless the host is starved. */
const answerTimeout = 30_000;
/** QEMU's packets hold 4096 characters, two for each byte of memory. */
const memoryChunk = 1024;
const attempts = 3;

export class GdbRemote {
  readonly #socket: Socket;
  readonly #reader = new PacketReader();
  /** Packets not yet taken, and those who wait for one. */
  readonly #packets: string[] = [];
  #waiting: { resolve: (data: string) => void; reject: (error: Error) => void } | undefined;
  #lastSent: Buffer = Buffer.alloc(0);
  #resends = 0;
  #failure: SaveoopsError | undefined;
  #running = false;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', (chunk: Buffer) => {
      this.#receive(chunk);
    });
    socket.on('error', () => undefined); // `close` follows.
    socket.on('close', () => {
      this.#fail(gdbError('the connection', 'QEMU closed it', 'an open connection'));
    });
  }

  /** Negotiates on a fresh connection; the machine is stopped then. Throws `tool`. */
  static async attach(socket: Socket): Promise<GdbRemote> {
    const gdb = new GdbRemote(socket);
    await gdb.#ask('qSupported:xmlRegisters=i386;swbreak+;hwbreak+');
    // QEMU's stub answers `P` only to a client that has read its target description; its content is not used.
    await gdb.#ask('qXfer:features:read:target.xml:0,ffb');
    await gdb.status();
    return gdb;
  }

  /** Why the machine stands still (`?`). Throws `tool`. */
  async status(): Promise<GdbStop> {
    return parseStop(await this.#ask('?'));
  }

  /** QEMU's thread ids, one for each CPU. Throws `tool`. */
  async threads(): Promise<readonly string[]> {
    const ids: string[] = [];
    for (let answer = await this.#ask('qfThreadInfo'); ; answer = await this.#ask('qsThreadInfo')) {
      if (answer === 'l') return ids;
      if (!answer.startsWith('m')) throw gdbError('qfThreadInfo', answer, 'm followed by thread ids');
      ids.push(...answer.slice(1).split(','));
    }
  }

  /** Makes later register and memory accesses those of one CPU (`Hg`). Throws `tool`. */
  async selectThread(thread: string): Promise<void> {
    checkThread(thread);
    await this.#expectOk(`Hg${thread}`);
  }

  /** Registers of the selected CPU (`g`). Throws `tool`. */
  async registers(): Promise<Registers> {
    const bytes = await this.#askBytes('g');
    const wanted = wideRegisters * 8 + (registerNames.length - wideRegisters) * 4;
    if (bytes.length < wanted) throw gdbError('g', `${bytes.length} bytes`, `at least ${wanted} bytes`);
    let offset = 0;
    const entries = registerNames.map((name, index): [RegisterName, bigint] => {
      const wide = index < wideRegisters;
      const value = wide ? bytes.readBigUInt64LE(offset) : BigInt(bytes.readUInt32LE(offset));
      offset += wide ? 8 : 4;
      return [name, value];
    });
    return Object.fromEntries(entries) as Record<RegisterName, bigint>;
  }

  /** Sets one register of the selected CPU (`P`). Throws `tool`, RangeError for a value that does not fit. */
  async writeRegister(name: RegisterName, value: bigint): Promise<void> {
    const index = registerNames.indexOf(name);
    const size = index < wideRegisters ? 8 : 4;
    if (value < 0n || value >> BigInt(size * 8) !== 0n) throw new RangeError(`${name} = ${value}`);
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64LE(value);
    await this.#expectOk(`P${index.toString(16)}=${bytes.toString('hex', 0, size)}`);
  }

  /** Reads virtual memory as the selected CPU maps it, or physical (setPhysicalMemory). Throws `tool`. */
  async readMemory(address: bigint, size: number): Promise<Buffer> {
    checkRange(address, size);
    const parts: Buffer[] = [];
    for (let done = 0; done < size; done += memoryChunk) {
      const length = Math.min(memoryChunk, size - done);
      const request = `m${hex(address + BigInt(done))},${length.toString(16)}`;
      const bytes = await this.#askBytes(request);
      if (bytes.length !== length) throw gdbError(request, `${bytes.length} bytes`, `${length} bytes`);
      parts.push(bytes);
    }
    return Buffer.concat(parts);
  }

  /** Writes memory, read-only pages included. Throws `tool`. */
  async writeMemory(address: bigint, bytes: Uint8Array): Promise<void> {
    checkRange(address, bytes.length);
    for (let done = 0; done < bytes.length; done += memoryChunk) {
      const part = Buffer.from(bytes.subarray(done, done + memoryChunk));
      const place = `${hex(address + BigInt(done))},${part.length.toString(16)}`;
      await this.#expectOk(`M${place}:${part.toString('hex')}`);
    }
  }

  /** Whether later memory accesses take physical addresses (QEMU's own `Qqemu.PhyMemMode`). Throws `tool`. */
  async setPhysicalMemory(physical: boolean): Promise<void> {
    await this.#expectOk(`Qqemu.PhyMemMode:${physical ? 1 : 0}`);
  }

  /** Stops any CPU that reaches a linear address (`Z1`, `Z0`); under TCG the guest's memory is not touched. */
  async setBreakpoint(address: bigint, kind: BreakpointKind = 'hardware'): Promise<void> {
    await this.#expectOk(`Z${kind === 'hardware' ? 1 : 0},${hex(address)},1`);
  }

  async removeBreakpoint(address: bigint, kind: BreakpointKind = 'hardware'): Promise<void> {
    await this.#expectOk(`z${kind === 'hardware' ? 1 : 0},${hex(address)},1`);
  }

  /**
   * Lets all CPUs run (`c`), or one of them, the others standing still (`vCont;c`); waitForStop gives the stop. A CPU
   * at a breakpoint stops again: see stepFrom.
   */
  continue(onlyThread?: string): void {
    if (onlyThread !== undefined) checkThread(onlyThread);
    this.#resume(onlyThread === undefined ? 'c' : `vCont;c:${onlyThread}`);
  }

  /** Executes one instruction on one CPU, the others standing still (`vCont;s`). Throws `tool`. */
  async step(thread: string): Promise<GdbStop> {
    checkThread(thread);
    this.#resume(`vCont;s:${thread}`);
    return await this.waitForStop(answerTimeout);
  }

  /** Steps a stopped CPU off a breakpoint, which stays set, so that continue() does not stop there again. */
  async stepFrom(breakpoint: bigint, stop: GdbStop): Promise<void> {
    await this.removeBreakpoint(breakpoint);
    await this.step(stop.thread ?? '1');
    await this.setBreakpoint(breakpoint);
  }

  /** Asks the running machine to stop; waitForStop gives the stop, signal 2 unless something else came first. */
  interrupt(): void {
    this.#socket.write(Buffer.from([0x03]));
  }

  /** The stop after continue(). Throws `tool`, also when none comes in `timeoutMs`: the machine still runs then. */
  async waitForStop(timeoutMs: number): Promise<GdbStop> {
    for (;;) {
      const data = await this.#next(timeoutMs, 'a stop');
      if (data.startsWith('O') && data !== 'OK') continue; // Console output of the stub.
      this.#running = false;
      return parseStop(data);
    }
  }

  /** Removes all breakpoints and lets the machine run without a debugger (`D`). Throws `tool`. */
  async detach(): Promise<void> {
    await this.#expectOk('D');
    this.#socket.destroy();
  }

  /** Cuts the connection; QEMU removes the breakpoints then. */
  close(): void {
    this.#socket.destroy();
  }

  #resume(request: string): void {
    this.#checkUsable(request);
    this.#send(request);
    this.#running = true;
  }

  async #expectOk(request: string): Promise<void> {
    const answer = await this.#ask(request);
    if (answer !== 'OK') throw gdbError(request, refusal(answer), 'OK');
  }

  async #askBytes(request: string): Promise<Buffer> {
    const answer = await this.#ask(request);
    // An error is E and two digits; data has an even number of digits.
    if (!/^(?:[0-9a-f]{2}|xx)*$/i.test(answer) || answer === '') {
      throw gdbError(request, refusal(answer), 'hexadecimal bytes');
    }
    return Buffer.from(answer.replaceAll('x', '0'), 'hex');
  }

  async #ask(request: string): Promise<string> {
    this.#checkUsable(request);
    this.#send(request);
    return await this.#next(answerTimeout, request);
  }

  #checkUsable(request: string): void {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#running)
      throw gdbError(request, 'the machine is running', 'a stopped machine: interrupt it first');
    if (this.#waiting !== undefined) throw gdbError(request, 'another request is pending', 'one at a time');
  }

  #send(request: string): void {
    this.#lastSent = encodePacket(request);
    this.#resends = 0;
    this.#socket.write(this.#lastSent);
  }

  async #next(timeoutMs: number, what: string): Promise<string> {
    const ready = this.#packets.shift();
    if (ready !== undefined) return ready;
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#waiting !== undefined) throw gdbError(what, 'another request is pending', 'one at a time');
    return await new Promise((resolve, reject) => {
      const settle = (): void => {
        clearTimeout(timer);
        this.#waiting = undefined;
      };
      const timer = setTimeout(() => {
        settle();
        reject(gdbError(what, `nothing within ${timeoutMs / 1000} s`, 'an answer'));
      }, timeoutMs);
      this.#waiting = {
        resolve: (data) => {
          settle();
          resolve(data);
        },
        reject: (error) => {
          settle();
          reject(error);
        },
      };
    });
  }

  #receive(chunk: Buffer): void {
    let items: readonly GdbItem[];
    try {
      items = this.#reader.push(chunk);
    } catch (error) {
      this.#fail(gdbError('the connection', String(error), 'packets'));
      this.#socket.destroy();
      return;
    }
    for (const item of items) this.#item(item);
  }

  #item(item: GdbItem): void {
    switch (item.kind) {
      case 'ack':
        return;
      case 'nak':
        if (++this.#resends < attempts) this.#socket.write(this.#lastSent);
        else this.#fail(gdbError('a packet', `refused ${attempts} times`, 'an acknowledgement'));
        return;
      case 'damaged':
        this.#socket.write('-');
        return;
      case 'packet':
        this.#socket.write('+');
        if (this.#waiting === undefined) this.#packets.push(item.data);
        else this.#waiting.resolve(item.data);
        return;
    }
  }

  #fail(error: SaveoopsError): void {
    this.#failure ??= error;
    this.#waiting?.reject(this.#failure);
  }
}

/** `S05`, or `T05thread:01;...`. `W`, `X`: the machine ended. */
function parseStop(data: string): GdbStop {
  const match = /^[ST]([0-9a-f]{2})(.*)$/i.exec(data);
  if (match === null) throw gdbError('a stop', data, 'a stop reply, S or T');
  return {
    signal: Number.parseInt(match[1] ?? '', 16),
    thread: /(?:^|;)thread:([0-9a-fp.]+)/i.exec(match[2] ?? '')?.[1],
  };
}

function refusal(answer: string): string {
  return answer === '' ? 'not supported by this QEMU' : answer;
}

function checkThread(thread: string): void {
  if (!/^p?[0-9a-f.]+$/i.test(thread)) throw new RangeError(`thread id ${thread}`);
}

function checkRange(address: bigint, size: number): void {
  if (!Number.isSafeInteger(size) || size < 0 || address < 0n || address + BigInt(size) > 1n << 64n) {
    throw new RangeError(`memory range ${address}+${size}`);
  }
}

function hex(value: bigint): string {
  return BigInt.asUintN(64, value).toString(16);
}

function gdbError(where: string, found: string, wanted: string): SaveoopsError {
  return new SaveoopsError('tool', "QEMU's debugger port did not do what was asked", {
    where: `GDB remote protocol, ${where}`,
    found,
    wanted,
  });
}
