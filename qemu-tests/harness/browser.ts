/** A page in Chromium, driven by the DevTools protocol over two pipes: messages of JSON, each with a zero byte behind it. */
import { spawn, type ChildProcess } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';

interface Message {
  /** Of the call that it answers; none: an event. */
  readonly id?: number;
  readonly method?: string;
  readonly sessionId?: string;
  readonly result?: unknown;
  readonly error?: { readonly message: string };
}

export class Browser {
  readonly #process: ChildProcess;
  readonly #answers = new Map<number, (message: Message) => void>();
  #heard: (event: Message) => void = () => undefined;
  #session: string | undefined;
  #sent = 0;
  #received = '';

  /** @param folder for its profile: nothing of the user's is touched */
  constructor(folder: string) {
    // Root, as in a container, has no sandbox of Chromium's; the page is our own.
    const root = process.getuid?.() === 0 ? ['--no-sandbox'] : [];
    this.#process = spawn(
      'chromium',
      ['--headless', ...root, '--disable-gpu', `--user-data-dir=${folder}`, '--remote-debugging-pipe'],
      { stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'] },
    );
    (this.#process.stdio[4] as Readable).setEncoding('utf8').on('data', (text: string) => {
      const messages = (this.#received + text).split('\0');
      this.#received = messages.pop() ?? '';
      for (const each of messages) {
        const message = JSON.parse(each) as Message;
        if (message.id === undefined) this.#heard(message);
        else this.#answers.get(message.id)?.(message);
      }
    });
  }

  /** Opens a page beside the last one, until it is loaded. */
  async open(url: string): Promise<void> {
    this.#session = undefined;
    const { targetId } = await this.#call<{ targetId: string }>('Target.createTarget', {
      url: 'about:blank',
    });
    const { sessionId } = await this.#call<{ sessionId: string }>('Target.attachToTarget', {
      targetId,
      flatten: true,
    });
    this.#session = sessionId;
    await this.#call('Page.enable', {});
    const loaded = new Promise<void>((resolve) => {
      this.#heard = (event) => {
        if (event.sessionId === sessionId && event.method === 'Page.loadEventFired') resolve();
      };
    });
    await this.#call('Page.navigate', { url });
    await loaded;
  }

  /** The value of an expression in the page; of a promise what it brings. Throws what it throws. */
  async value(expression: string): Promise<unknown> {
    const { result, exceptionDetails } = await this.#call<{
      result: { value?: unknown };
      exceptionDetails?: { text: string };
    }>('Runtime.evaluate', { expression, awaitPromise: true, returnByValue: true });
    if (exceptionDetails !== undefined) throw new Error(`the page: ${exceptionDetails.text}`);
    return result.value;
  }

  /** As if a person had chosen the file. */
  async choose(selector: string, file: string): Promise<void> {
    const { result } = await this.#call<{ result: { objectId: string } }>('Runtime.evaluate', {
      expression: `document.querySelector('${selector}')`,
    });
    await this.#call('DOM.setFileInputFiles', { files: [file], objectId: result.objectId });
  }

  async close(): Promise<void> {
    const gone = new Promise((resolve) => this.#process.once('exit', resolve));
    this.#session = undefined;
    await this.#call('Browser.close', {});
    await gone;
  }

  async #call<Result>(method: string, params: object): Promise<Result> {
    const id = ++this.#sent;
    const answer = new Promise<Message>((resolve, reject) => {
      this.#answers.set(id, resolve);
      this.#process.once('exit', (code) => {
        reject(new Error(`lost: Chromium ended with status ${String(code)}`));
      });
      this.#process.once('error', reject);
    });
    const sessionId = this.#session;
    (this.#process.stdio[3] as Writable).write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
    const { result, error } = await answer;
    this.#answers.delete(id);
    if (error !== undefined) throw new Error(`${method}: ${error.message}`);
    return result as Result;
  }
}
