/** A Unix socket on which one peer, QEMU, connects: QEMU is told the path and connects while it starts. */
import { createServer, type Server, type Socket } from 'node:net';
import { fileError } from '../host/files.js';
import { SaveoopsError } from '../errors.js';

/** Linux's sun_path is 108 bytes with its NUL. */
const longestSocketPath = 107;

export class PeerListener {
  readonly path: string;
  /** Settles when the peer connects; rejects when the listener is closed before. */
  readonly peer: Promise<Socket>;
  readonly #server: Server;
  #fail: (error: Error) => void = () => undefined;

  private constructor(path: string, server: Server) {
    this.path = path;
    this.#server = server;
    this.peer = new Promise((resolve, reject) => {
      this.#fail = reject;
      server.once('connection', (socket) => {
        resolve(socket);
        server.close();
      });
    });
    // A run may end before anyone awaits the peer.
    this.peer.catch(() => undefined);
  }

  /** Throws `file` when the path cannot be a socket. */
  static async open(path: string): Promise<PeerListener> {
    if (Buffer.byteLength(path) > longestSocketPath) {
      throw new SaveoopsError('file', 'the path of a socket is too long', {
        where: path,
        found: `${Buffer.byteLength(path)} bytes`,
        wanted: `at most ${longestSocketPath} bytes`,
        hint: 'set TMPDIR to a folder with a short name',
      });
    }
    const server = createServer();
    const listener = new PeerListener(path, server);
    await new Promise<void>((resolve, reject) => {
      server.once('error', (error) => {
        reject(fileError(path, 'a place for a Unix socket', error));
      });
      server.listen(path, resolve);
    });
    return listener;
  }

  /** Stops waiting; a connected peer stays connected. */
  close(): void {
    this.#server.close();
    this.#fail(new Error('QEMU did not connect'));
  }
}
