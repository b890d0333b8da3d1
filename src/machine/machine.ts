/**
 * One QEMU process: its serial port as lines, its end as an event, and its certain death.
 *
 * QEMU runs in a process group of its own, so that a Ctrl-C at the terminal reaches Saveoops alone, which then
 * decides. setpriv's parent-death signal ends QEMU even when Saveoops is killed without a chance to clean up.
 */
import { once } from 'node:events';
import {
  closeSync,
  createWriteStream,
  openSync,
  readSync,
  watch,
  writeFileSync,
  type FSWatcher,
  type WriteStream,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { StringDecoder } from 'node:string_decoder';
import { execa } from 'execa';
import { requireOnHost, machineNeeds } from '../image/requirements.js';
import { SaveoopsError } from '../errors.js';
import { fileError } from '../host/files.js';
import { GdbRemote } from './gdb-remote.js';
import { qemuArguments, qemuProgram, type MachineSpec } from './qemu-command.js';
import { QmpClient } from './qmp.js';
import { LineSplitter } from './serial-text.js';
import { PeerListener } from './socket.js';

export interface MachineOptions {
  /** Existing folder for the sockets and the logs `serial.log` (raw bytes) and `qemu.log` (QEMU's own messages). */
  readonly folder: string;
  readonly gdb?: boolean;
  readonly qmp?: boolean;
}

export interface MachineExit {
  readonly code: number | undefined;
  readonly signal: string | undefined;
  /** What QEMU said on standard error. */
  readonly messages: string;
}

export type Awaited =
  | { readonly kind: 'line'; readonly line: string; readonly index: number; readonly pattern: RegExp }
  | { readonly kind: 'exit'; readonly exit: MachineExit }
  | { readonly kind: 'timeout' };

type Watcher = () => void;

/** Bytes read from the serial log at a time. */
const chunkSize = 1 << 16;

/** Groups still alive, for the one handler that ends them when Node exits. */
const living = new Set<number>();
process.on('exit', () => {
  for (const group of living) killGroup(group);
});

export class Machine {
  /** Complete lines so far, without terminal control. */
  readonly lines: string[] = [];
  /** Settles once, when QEMU has ended and all its output has been read. Never rejects. */
  readonly exited: Promise<MachineExit>;
  #text = '';
  #exit: MachineExit | undefined;
  readonly #splitter = new LineSplitter();
  readonly #decoder = new StringDecoder('utf8');
  readonly #watchers = new Set<Watcher>();
  readonly #group: number;
  /** The serial log, which QEMU writes; read from `#position` on. */
  readonly #log: number;
  readonly #logWatcher: FSWatcher;
  #position = 0;
  readonly #qmp: PeerListener | undefined;
  readonly #gdb: PeerListener | undefined;
  #qmpClient: QmpClient | undefined;

  private constructor(spec: MachineSpec, log: WriteStream, qmp?: PeerListener, gdb?: PeerListener) {
    this.#qmp = qmp;
    this.#gdb = gdb;
    // QEMU writes to a file, not to a pipe: it drops characters when a reader is slow, and a guest's polling driver
    // does, too. The file's change events tell when there is something to read.
    const path = String(log.path);
    this.#log = openSync(path, 'r');
    this.#logWatcher = watch(path, () => {
      this.#readLog();
    });
    const args = qemuArguments(spec, { qmp: qmp?.path, gdb: gdb?.path });
    const child = execa('setpriv', ['--pdeathsig', 'KILL', '--', qemuProgram, ...args], {
      detached: true,
      reject: false,
      stdin: 'ignore',
      stdout: log,
      encoding: 'buffer',
    });
    log.destroy(); // QEMU has the descriptor now.
    this.#group = child.pid ?? 0;
    if (this.#group > 0) living.add(this.#group);
    this.exited = child.then((result) => {
      living.delete(this.#group);
      const messages = Buffer.from(result.stderr).toString();
      this.#exit = { code: result.exitCode, signal: result.signal, messages };
      keepMessages(join(dirname(path), 'qemu.log'), messages);
      this.#logWatcher.close();
      this.#readLog();
      closeSync(this.#log);
      this.#receive(this.#decoder.end());
      if (this.#splitter.partial !== '') this.lines.push(...this.#splitter.push('\n'));
      qmp?.close();
      gdb?.close();
      this.#qmpClient?.close();
      this.#wake();
      return this.#exit;
    });
  }

  /** Starts QEMU. Throws `tool` when QEMU is not installed, `file` when a socket cannot be made. */
  static async start(spec: MachineSpec, options: MachineOptions): Promise<Machine> {
    await requireOnHost(machineNeeds);
    const listen = async (wanted: boolean | undefined, name: string): Promise<PeerListener | undefined> =>
      wanted === true ? await PeerListener.open(join(options.folder, name)) : undefined;
    const qmp = await listen(options.qmp, 'qmp.sock');
    const gdb = await listen(options.gdb, 'gdb.sock');
    const path = join(options.folder, 'serial.log');
    const log = createWriteStream(path);
    await once(log, 'open').catch((error: unknown) => {
      throw fileError(path, 'a place for the serial log', error);
    });
    return new Machine(spec, log, qmp, gdb);
  }

  /** Everything that the serial port carried so far, raw. */
  get text(): string {
    return this.#text;
  }

  /** The debugger's connection, once; the machine stands still before its first instruction. Throws `tool`. */
  async gdb(): Promise<GdbRemote> {
    return await GdbRemote.attach(await this.#peer(this.#gdb, 'gdb'));
  }

  /** The QMP connection. Throws `tool`. */
  async qmp(): Promise<QmpClient> {
    this.#qmpClient ??= await QmpClient.attach(await this.#peer(this.#qmp, 'qmp'));
    return this.#qmpClient;
  }

  /**
   * Waits for a line that matches one of `patterns`, from line `from` on (so nothing is missed between two calls).
   * `prompts` are tried on the unfinished last line, which a prompt never ends; `patterns` never are, so that a line
   * is whole when it is given. Neither may be global or sticky.
   */
  async waitForLine(
    patterns: readonly RegExp[],
    {
      timeoutMs,
      from = 0,
      prompts = [],
    }: {
      readonly timeoutMs: number;
      readonly from?: number;
      readonly prompts?: readonly RegExp[] | undefined;
    },
  ): Promise<Awaited> {
    let next = from;
    const check = (): Awaited | undefined => {
      for (; next < this.lines.length; next++) {
        const found = matched(patterns, this.lines[next] ?? '', next);
        if (found !== undefined) return found;
      }
      const partial = this.#splitter.partial;
      const found = partial === '' ? undefined : matched(prompts, partial, this.lines.length);
      return found ?? (this.#exit && { kind: 'exit', exit: this.#exit });
    };
    return await new Promise((resolve) => {
      const settle = (result: Awaited): void => {
        clearTimeout(timer);
        this.#watchers.delete(watcher);
        resolve(result);
      };
      const watcher = (): void => {
        const result = check();
        if (result !== undefined) settle(result);
      };
      const timer = setTimeout(() => {
        settle({ kind: 'timeout' });
      }, timeoutMs);
      this.#watchers.add(watcher);
      watcher();
    });
  }

  /** Ends QEMU at once, with every process of its group, and waits for the end. Safe to call at any time. */
  async stop(): Promise<void> {
    if (this.#exit === undefined) killGroup(this.#group);
    await this.exited;
  }

  async #peer(listener: PeerListener | undefined, name: string): ReturnType<() => PeerListener['peer']> {
    if (listener === undefined) throw new RangeError(`the machine was started without ${name}`);
    try {
      return await listener.peer;
    } catch (error) {
      throw new SaveoopsError('tool', 'QEMU ended before the debugger could connect', {
        where: qemuProgram,
        found: this.#exit?.messages.trim() ?? String(error),
        wanted: 'a running machine',
        cause: error,
      });
    }
  }

  /** Takes in what QEMU has written since the last time. */
  #readLog(): void {
    const chunk = Buffer.allocUnsafe(chunkSize);
    for (;;) {
      const size = readSync(this.#log, chunk, 0, chunkSize, this.#position);
      if (size === 0) return;
      this.#position += size;
      this.#receive(this.#decoder.write(chunk.subarray(0, size)));
    }
  }

  #receive(text: string): void {
    this.#text += text;
    this.lines.push(...this.#splitter.push(text));
    this.#wake();
  }

  #wake(): void {
    for (const watcher of [...this.#watchers]) watcher();
  }
}

function matched(patterns: readonly RegExp[], line: string, index: number): Awaited | undefined {
  const pattern = patterns.find((candidate) => candidate.test(line));
  return pattern && { kind: 'line', line, index, pattern };
}

function keepMessages(path: string, messages: string): void {
  try {
    writeFileSync(path, messages);
  } catch {
    // A full disk must not end the run; the messages are in memory too.
  }
}

function killGroup(group: number): void {
  if (group <= 0) return;
  try {
    process.kill(-group, 'SIGKILL');
  } catch {
    // It has ended already.
  }
}
