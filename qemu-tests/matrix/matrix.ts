/**
 * `npm run matrix`: arms, boots and panics every kernel that scripts/matrix-kernels.sh has chosen, and writes
 * docs/results/support-matrix.md.
 *
 * Results are kept under .cache/matrix/results, by what they were made of: the next run goes on where one was stopped.
 * A row has a limit: five machines of 300 seconds each (run-kernel.ts). Options: --only WORDS (kernels or pairs whose names
 * have all of them; the document has the rows that are known by then, and names the others), --workers 2. The exit status is 1
 * when a row did not pass.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import yargs from 'yargs';
import { hideBin } from 'yargs/helpers';
import { parseBzImage } from '../../src/formats/bzimage/parse-bzimage.js';
import { payloadCompression } from '../../src/formats/bzimage/payload.js';
import { cache, digestOf, digestOfFolder, repository } from '../harness/folders.js';
import { matrixKernels, type MatrixKernel } from './kernels.js';
import { passed, renderMatrix, type KernelResult, type MatrixRow } from './report.js';
import { runKernel } from './run-kernel.js';

const options = await yargs(hideBin(process.argv))
  .options({
    only: { type: 'string', default: '', describe: 'kernels whose names have all of these words' },
    workers: { type: 'number', default: 2, describe: 'machines at the same time' },
  })
  .strict()
  .parseAsync();

/** Primary and crash kernel of another version. */
const pairs = [
  ['5.10 amd64', '6.1 amd64'],
  ['6.1 amd64', '5.10 amd64'],
  ['6.1 amd64', '7.3 amd64'],
  ['7.3 amd64', '6.1 cloud-amd64'],
  ['6.12 cloud-amd64', '6.1 amd64'],
] as const;

const kernels = matrixKernels();
const present = kernels.filter(({ kind }) => kind !== 'gone');
/** The last one of a series. */
const named = (name: string): MatrixKernel => {
  const found = present.findLast(({ series, flavour }) => `${series} ${flavour}` === name);
  if (found === undefined) throw new Error(`no kernel ${name}`);
  return found;
};
const tool = digestOf(
  digestOfFolder(join(repository, 'dist', 'src'), (name) => /(?<!\.test)\.js$/.test(name)),
  digestOfFolder(join(repository, 'dist', 'stubs'), (name) => !name.endsWith('.part')),
);
const results = join(cache, 'matrix', 'results');
mkdirSync(results, { recursive: true });

interface Task {
  readonly kernel: MatrixKernel;
  readonly crash: MatrixKernel | undefined;
  readonly compression: string;
  /** Where its result is kept. */
  readonly path: string;
}

const tasks = [
  ...present.map((kernel) => ({ kernel, crash: undefined })),
  ...pairs.map(([kernel, crash]) => ({ kernel: named(kernel), crash: named(crash) })),
].map(({ kernel, crash }): Task => {
  const bytes = readFileSync(kernel.vmlinuz);
  const compression = payloadCompression(parseBzImage(bytes, kernel.vmlinuz).payload) ?? 'none';
  const key = digestOf(tool, bytes, ...(crash === undefined ? [] : [readFileSync(crash.vmlinuz)]));
  return { kernel, crash, compression, path: join(results, `${key}.json`) };
});

/** What is known of a task, else what comes of it now. */
async function resultOf({ kernel, crash, path }: Task): Promise<KernelResult> {
  const known = knownResult(path);
  if (known !== undefined) return known;
  const result = await runKernel({ primary: kernel.vmlinuz, crash: crash?.vmlinuz });
  if (passed(result)) writeFileSync(path, JSON.stringify(result));
  return result;
}

function knownResult(path: string): KernelResult | undefined {
  return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as KernelResult) : undefined;
}

const isWanted = ({ kernel, crash }: Task): boolean => {
  const name = `${kernel.suite} ${kernel.release} ${kernel.version} ${crash?.release ?? ''}`;
  return options.only.split(' ').every((word) => name.includes(word));
};

const rows: MatrixRow[] = [];
const queue = tasks.map((task, index) => ({ task, index }));
const worker = async (): Promise<void> => {
  for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
    const { task, index } = next;
    const wanted = isWanted(task);
    const result = wanted ? await resultOf(task) : knownResult(task.path);
    rows[index] = { ...task, result };
    if (!wanted || result === undefined) continue;
    const pair = task.crash === undefined ? '' : ` with crash kernel ${task.crash.release}`;
    const verdict = passed(result) ? 'passed' : 'FAILED';
    console.log(`${verdict} ${task.kernel.suite} ${task.kernel.release}${pair} ${JSON.stringify(result)}`);
    if (!passed(result)) process.exitCode = 1;
  }
};
await Promise.all(Array.from({ length: options.workers }, worker));
const gone = kernels.filter(({ kind }) => kind === 'gone');
const docs = join(repository, 'docs');
const [loaders = ''] = /(^\|.*\n)+/m.exec(readFileSync(join(docs, 'loaders.md'), 'utf8')) ?? [];
const fromResults = loaders.trimEnd().replaceAll('](', '](../').replaceAll('](../results/', '](');
writeFileSync(join(docs, 'results', 'support-matrix.md'), renderMatrix(rows, gone, fromResults));
