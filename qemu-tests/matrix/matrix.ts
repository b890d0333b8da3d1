/**
 * `npm run matrix`: arms, boots and panics every kernel of qemu-tests/matrix/kernels.lock and writes
 * docs/support-matrix.md.
 *
 * Results are kept under .cache/matrix/results, by what they were made of: the next run goes on where one was stopped.
 * Options: --only WORDS (kernels or pairs whose names have all of them; writes no document), --workers 2. The exit
 * status is 1 when a row did not pass.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import yargs from 'yargs';
import { hideBin } from 'yargs/helpers';
import { parseBzImage } from '../../src/formats/bzimage/parse-bzimage.js';
import { payloadCompression } from '../../src/formats/bzimage/payload.js';
import { cache, digestOf, digestOfFolder, repository } from '../harness/folders.js';
import { lockedKernels, type LockedKernel } from './kernels.js';
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

const kernels = lockedKernels();
const named = (name: string): LockedKernel => {
  const found = kernels.find(({ series, flavour }) => `${series} ${flavour}` === name);
  if (found === undefined) throw new Error(`kernels.lock has no ${name}`);
  return found;
};
const tool = digestOf(
  digestOfFolder(join(repository, 'dist', 'src'), (name) => /(?<!\.test)\.js$/.test(name)),
  digestOfFolder(join(repository, 'dist', 'stubs'), (name) => !name.endsWith('.part')),
);
const results = join(cache, 'matrix', 'results');
mkdirSync(results, { recursive: true });

const wanted = [
  ...kernels.map((kernel) => ({ kernel, crash: undefined })),
  ...pairs.map(([kernel, crash]) => ({ kernel: named(kernel), crash: named(crash) })),
].filter(({ kernel, crash }) => {
  const name = `${kernel.suite} ${kernel.release} ${crash?.release ?? ''}`;
  return options.only.split(' ').every((word) => name.includes(word));
});

async function row(kernel: LockedKernel, crash: LockedKernel | undefined): Promise<MatrixRow> {
  const bytes = readFileSync(kernel.vmlinuz);
  const compression = payloadCompression(parseBzImage(bytes, kernel.vmlinuz).payload) ?? 'none';
  const key = digestOf(tool, bytes, ...(crash === undefined ? [] : [readFileSync(crash.vmlinuz)]));
  const path = join(results, `${key}.json`);
  const known = existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as KernelResult) : undefined;
  const result = known ?? (await runKernel({ primary: kernel.vmlinuz, crash: crash?.vmlinuz }));
  if (passed(result)) writeFileSync(path, JSON.stringify(result));
  const gone = kernel.replaced ? ' (the newest of its suite: the locked one is gone)' : '';
  const with_ = crash === undefined ? '' : ` with crash kernel ${crash.release}`;
  console.log(
    `${passed(result) ? 'passed' : 'FAILED'} ${kernel.suite} ${kernel.release}${with_}${gone} ${JSON.stringify(result)}`,
  );
  return { kernel, crash, compression, result };
}

const rows: MatrixRow[] = [];
const queue = wanted.map((each, index) => ({ ...each, index }));
const worker = async (): Promise<void> => {
  for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
    rows[next.index] = await row(next.kernel, next.crash);
  }
};
await Promise.all(Array.from({ length: options.workers }, worker));
if (options.only === '') writeFileSync(join(repository, 'docs', 'support-matrix.md'), renderMatrix(rows));
process.exitCode = rows.every(({ result }) => passed(result)) ? 0 : 1;
