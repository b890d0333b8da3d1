/** One target in a thread of its own: the main thread can end it when an input takes too long or too much memory. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { parentPort, workerData } from 'node:worker_threads';
import { SaveoopsError } from '../errors.js';
import { mutate, SeededRandom } from '../testkit/mutate.js';
import { Coverage } from './coverage.js';
import type { WorkerOrders, WorkerReport } from './fuzz-target.js';
import { targets } from './targets.js';

/** An input that grew over this is cut: size alone finds nothing. */
const longest = 1 << 16;
/** Of buffers outside the JavaScript heap, whose size the thread's own limit bounds. Bytes. */
const mostMemory = 256 << 20;

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

const { name, seed, milliseconds, shared } = workerData as WorkerOrders;
const current = new Uint8Array(shared);
const header = new Int32Array(shared, 0, 2);
const found = targets.find((each) => each.name === name);
if (found === undefined) throw new RangeError(`no target ${name}`);
const target = found;
const random = new SeededRandom(seed);
const corpus = [...target.seeds];
const coverage = new Coverage((url) => url.includes('/dist/src/') && !url.includes('/fuzz/'));
const known = new Set<string>();

function pick(): Uint8Array {
  return corpus[random.below(corpus.length)] ?? new Uint8Array();
}

/** A damaged input of the corpus, half of the time with a piece of another one. */
function next(): Uint8Array {
  let input = pick();
  if (random.below(4) === 0) {
    const other = pick();
    const cut = random.below(input.length + 1);
    input = Buffer.concat([input.subarray(0, cut), other.subarray(random.below(other.length + 1))]);
  }
  return mutate(input.subarray(0, longest), random.below(2 ** 31), 256);
}

/** Runs one input. What is neither a value nor a SaveoopsError is a finding, once for each place in the code. */
async function attempt(input: Uint8Array): Promise<void> {
  current.set(input, 8);
  Atomics.store(header, 1, input.length);
  Atomics.add(header, 0, 1);
  try {
    await target.run(input);
  } catch (error) {
    if (error instanceof SaveoopsError) return;
    const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
    const place = stack.split('\n').slice(0, 2).join('\n');
    if (known.has(place)) return;
    known.add(place);
    report({ kind: 'finding', input, what: stack });
  }
}

function report(message: WorkerReport): void {
  parentPort?.postMessage(message);
}

/**
 * Buffers of many inputs pile up until the collector comes by, more of them on a busy machine: each input is run once
 * more, alone, to see whether one of them asks for so much.
 */
async function weigh(inputs: readonly Uint8Array[]): Promise<void> {
  for (const input of inputs) {
    if (process.memoryUsage().arrayBuffers > mostMemory / 4) collectGarbage();
    const before = process.memoryUsage().arrayBuffers;
    await attempt(input);
    const taken = process.memoryUsage().arrayBuffers - before;
    if (taken > mostMemory) report({ kind: 'finding', input, what: `${taken} bytes of buffers` });
  }
  collectGarbage();
}

/** Runs the inputs; of those that reached something new, keeps one for each piece of news, found by halving. */
async function explore(inputs: readonly Uint8Array[]): Promise<void> {
  for (const input of inputs) await attempt(input);
  if (process.memoryUsage().arrayBuffers > mostMemory) await weigh(inputs);
  if (!coverage.news()) return;
  const [only] = inputs;
  if (inputs.length === 1 && only !== undefined) {
    corpus.push(only);
    return;
  }
  coverage.forget();
  const half = inputs.length >> 1;
  await explore(inputs.slice(0, half));
  await explore(inputs.slice(half));
}

const deadline = Date.now() + milliseconds;
for (const each of target.seeds) await attempt(each);
coverage.news();
let count = 0;
// A look at the coverage takes as long as many inputs: batches grow until looking is a small part of the time.
let batchSize = 64;
while (Date.now() < deadline) {
  const batch = Array.from({ length: batchSize }, next);
  const kept = corpus.length;
  await explore(batch);
  count += batchSize;
  if (corpus.length === kept && batchSize < 4096) batchSize *= 2;
  if (corpus.length > 4096) corpus.splice(target.seeds.length, 2048);
}
report({ kind: 'end', count, corpus: corpus.length, coverage: coverage.size });
