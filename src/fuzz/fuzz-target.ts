/** Fuzzes one target in a worker thread that can be ended from outside. */
import { Worker } from 'node:worker_threads';

export interface WorkerOrders {
  readonly name: string;
  readonly seed: number;
  readonly milliseconds: number;
  /** Number of the input (u32), its size (u32), and the input itself: outlives the thread. */
  readonly shared: SharedArrayBuffer;
}

export type WorkerReport =
  | { readonly kind: 'finding'; readonly input: Uint8Array; readonly what: string }
  | { readonly kind: 'end'; readonly count: number; readonly corpus: number; readonly coverage: number };

export interface FuzzResult {
  readonly name: string;
  readonly findings: readonly { readonly input: Uint8Array; readonly what: string }[];
  /** Inputs that were run. */
  readonly count: number;
  readonly corpus: number;
  readonly coverage: number;
}

/** No parser here takes a second for 64 KiB. */
const longestInput = 10_000;
const heapLimit = 512;

/** Never throws for what the target does: a thrown error, a hang and an exhausted heap are findings. */
export async function fuzzTarget(name: string, seed: number, milliseconds: number): Promise<FuzzResult> {
  const shared = new SharedArrayBuffer(8 + (1 << 18));
  const header = new Int32Array(shared, 0, 2);
  const orders: WorkerOrders = { name, seed, milliseconds, shared };
  const worker = new Worker(new URL('worker.js', import.meta.url), {
    workerData: orders,
    resourceLimits: { maxOldGenerationSizeMb: heapLimit },
  });
  const findings: { input: Uint8Array; what: string }[] = [];
  let summary = { count: 0, corpus: 0, coverage: 0 };
  const current = (): Uint8Array => new Uint8Array(shared).slice(8, 8 + Atomics.load(header, 1));
  await new Promise<void>((resolve) => {
    let last = -1;
    const timer = setInterval(() => {
      const now = Atomics.load(header, 0);
      if (now === last && now > 0) {
        findings.push({ input: current(), what: `no end within ${longestInput / 1000} s` });
        void worker.terminate();
      }
      last = now;
    }, longestInput);
    worker.on('message', (message: WorkerReport) => {
      if (message.kind === 'finding') findings.push(message);
      else summary = message;
    });
    worker.on('error', (error) => findings.push({ input: current(), what: String(error) }));
    worker.on('exit', () => {
      clearInterval(timer);
      resolve();
    });
  });
  const { count, corpus, coverage } = summary;
  return { name, findings, count: count === 0 ? Atomics.load(header, 0) : count, corpus, coverage };
}
