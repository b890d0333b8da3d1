/** A minimal client of QEMU's QMP (qemu's docs/interop/qmp-spec): one JSON object a line. */
import type { Socket } from 'node:net';
import { SaveoopsError } from '../errors.js';

interface Pending {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
}

interface QmpEvent {
  readonly event: string;
  readonly data?: Readonly<Record<string, unknown>>;
}

export class QmpClient {
  readonly #socket: Socket;
  readonly #pending = new Map<number, Pending>();
  #nextId = 1;
  #buffer = '';
  #closed = false;
  /** Events so far, and those who wait for one. */
  readonly #events: QmpEvent[] = [];
  readonly #awaited = new Set<Pending & { readonly wanted: (event: QmpEvent) => boolean }>();

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setEncoding('utf8');
    socket.on('data', (chunk: string) => {
      this.#receive(chunk);
    });
    socket.on('error', () => undefined); // `close` follows and fails what is pending.
    socket.on('close', () => {
      this.#closed = true;
      for (const { reject } of this.#pending.values()) reject(qmpError('connection', 'QEMU closed it'));
      for (const { reject } of this.#awaited) reject(qmpError('connection', 'QEMU closed it'));
      this.#pending.clear();
      this.#awaited.clear();
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

  /**
   * When an event (qemu's qapi/*.json) of this name, with this `status` in its data if given, has come that many times since attach().
   * Throws `tool` when QEMU ends first.
   */
  async event(name: string, status?: string, times = 1): Promise<void> {
    const matches = ({ event, data }: QmpEvent): boolean =>
      event === name && (status === undefined || data?.['status'] === status);
    let left = times - this.#events.filter(matches).length;
    if (left <= 0) return;
    if (this.#closed) throw qmpError(`event ${name}`, 'the connection is closed');
    await new Promise<unknown>((resolve, reject) => {
      this.#awaited.add({ wanted: (event) => matches(event) && --left === 0, resolve, reject });
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
    if (typeof message['event'] === 'string') {
      this.#event(message as unknown as QmpEvent);
      return;
    }
    const id = message['id'];
    const pending = typeof id === 'number' ? this.#pending.get(id) : undefined;
    if (typeof id !== 'number' || pending === undefined) return; // The greeting.
    this.#pending.delete(id);
    if ('error' in message) pending.reject(qmpError('command', JSON.stringify(message['error'])));
    else pending.resolve(message['return']);
  }

  #event(event: QmpEvent): void {
    this.#events.push(event);
    for (const waiting of this.#awaited) {
      if (!waiting.wanted(event)) continue;
      this.#awaited.delete(waiting);
      waiting.resolve(undefined);
    }
  }
}

function qmpError(what: string, found: string): SaveoopsError {
  return new SaveoopsError('tool', `QEMU refused a QMP ${what}`, {
    where: 'QMP',
    found,
    wanted: 'a return value',
  });
}
