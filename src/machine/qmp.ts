/** A minimal client of QEMU's QMP (qemu's docs/interop/qmp-spec): one JSON object a line. */
import type { Socket } from 'node:net';
import { SaveoopsError } from '../errors.js';

interface Pending {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
}

export class QmpClient {
  readonly #socket: Socket;
  readonly #pending = new Map<number, Pending>();
  /** By name: whether it came, and who waits for it. */
  readonly #events = new Map<string, { came: boolean; readonly waiting: Pending[] }>();
  #nextId = 1;
  #buffer = '';
  #closed = false;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setEncoding('utf8');
    socket.on('data', (chunk: string) => {
      this.#receive(chunk);
    });
    socket.on('error', () => undefined); // `close` follows and fails what is pending.
    socket.on('close', () => {
      this.#closed = true;
      const waiting = [...this.#events.values()].flatMap((event) => event.waiting.splice(0));
      for (const { reject } of [...this.#pending.values(), ...waiting]) {
        reject(qmpError('connection', 'QEMU closed it'));
      }
      this.#pending.clear();
    });
  }

  /** Leaves negotiation mode. Throws `tool`. */
  static async attach(socket: Socket): Promise<QmpClient> {
    const client = new QmpClient(socket);
    await client.execute('qmp_capabilities');
    return client;
  }

  /** Runs one command and gives its `return` value. Throws `tool` with QEMU's own description. */
  async execute(command: string, parameters: Readonly<Record<string, unknown>> = {}): Promise<unknown> {
    if (this.#closed) throw qmpError(command, 'the connection is closed');
    const id = this.#nextId++;
    return await new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve, reject });
      this.#socket.write(JSON.stringify({ execute: command, arguments: parameters, id }) + '\n');
    });
  }

  /** Resolves at the first event of this name since attach(), that is at once for one that has been. Throws `tool`. */
  async event(name: string): Promise<void> {
    const seen = this.#event(name);
    if (seen.came) return;
    if (this.#closed) throw qmpError(name, 'the connection is closed');
    await new Promise((resolve, reject) => {
      seen.waiting.push({ resolve, reject });
    });
  }

  /** Ends QEMU. The reply may be lost with the connection; that is success too. */
  async quit(): Promise<void> {
    await this.execute('quit').catch(() => undefined);
  }

  async systemReset(): Promise<void> {
    await this.execute('system_reset');
  }

  /** Writes `size` bytes of guest-physical memory from `address` to a file on the host. */
  async saveMemory(address: bigint, size: number, path: string): Promise<void> {
    // QMP takes JSON numbers only; addresses of a PC's RAM stay far below 2^53.
    await this.execute('pmemsave', { val: Number(address), size, filename: path });
  }

  /** Writes the screen as PPM to a file on the host. */
  async screenshot(path: string): Promise<void> {
    await this.execute('screendump', { filename: path });
  }

  close(): void {
    this.#socket.destroy();
  }

  #event(name: string): { came: boolean; readonly waiting: Pending[] } {
    const seen = this.#events.get(name) ?? { came: false, waiting: [] };
    this.#events.set(name, seen);
    return seen;
  }

  #receive(chunk: string): void {
    this.#buffer += chunk;
    const lines = this.#buffer.split('\n');
    this.#buffer = lines.pop() ?? '';
    for (const line of lines) if (line.trim() !== '') this.#message(line);
  }

  #message(line: string): void {
    let message: Readonly<Record<string, unknown>>;
    try {
      message = JSON.parse(line) as Readonly<Record<string, unknown>>;
    } catch {
      this.#socket.destroy(new Error('QMP sent no JSON'));
      return;
    }
    const event = message['event'];
    if (typeof event === 'string') {
      const seen = this.#event(event);
      seen.came = true;
      for (const { resolve } of seen.waiting.splice(0)) resolve(undefined);
      return;
    }
    const id = message['id'];
    const pending = typeof id === 'number' ? this.#pending.get(id) : undefined;
    if (typeof id !== 'number' || pending === undefined) return; // The greeting.
    this.#pending.delete(id);
    if ('error' in message) pending.reject(qmpError('command', JSON.stringify(message['error'])));
    else pending.resolve(message['return']);
  }
}

function qmpError(what: string, found: string): SaveoopsError {
  return new SaveoopsError('tool', `QEMU refused a QMP ${what}`, {
    where: 'QMP',
    found,
    wanted: 'a return value',
  });
}
