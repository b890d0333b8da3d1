/**
 * `npm run sweep`: panics a stock kernel at every step of its boot and writes docs/coverage.md.
 *
 * Results go to .cache/sweep/<kernel>-<cpus>.jsonl as they come; points that are there already are not run again, so
 * a sweep can be stopped at any time and goes on later. Options: --flavour amd64, --cpus 1,4, --limit N points,
 * --phase userspace, --workers 2, --report (only write the document).
 */
import { appendFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import yargs from 'yargs';
import { hideBin } from 'yargs/helpers';
import { loadKernel } from '../../src/kernel/load-kernel.js';
import { cache, repository } from '../harness/folders.js';
import { stockKernel } from '../harness/payloads.js';
import { sweepPoints, type SweepPoint } from './points.js';
import { renderCoverage, type SweepResult } from './report.js';
import { commandLine, runPoint, sweepImage, type Sweep } from './run-point.js';
import { userspaceInitramfs, userspacePoints } from './userspace.js';

function readResults(path: string): SweepResult[] {
  if (!existsSync(path)) return [];
  return readFileSync(path, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as SweepResult);
}

const options = await yargs(hideBin(process.argv))
  .options({
    flavour: { type: 'string', default: 'amd64', describe: 'stock kernel' },
    cpus: { type: 'string', default: '1,4', describe: 'numbers of CPUs, comma-separated' },
    limit: { type: 'number', default: Infinity, describe: 'new points of each number of CPUs at most' },
    phase: { type: 'string', describe: 'points of this phase alone: userspace, "initcall fs", ...' },
    workers: { type: 'number', default: 2, describe: 'machines at the same time' },
    report: { type: 'boolean', default: false, describe: 'run nothing, write docs/coverage.md' },
  })
  .strict()
  .parseAsync();

const stock = stockKernel(options.flavour);
const kernel = await loadKernel(readFileSync(stock.vmlinuz), options.flavour);
const points = [...sweepPoints(kernel), ...userspacePoints(kernel)];
const userspace = await userspaceInitramfs(stock.vmlinuz, kernel.bzImage.release);
const folder = join(cache, 'sweep');
mkdirSync(folder, { recursive: true });
const tables: { cpus: number; results: SweepResult[] }[] = [];
for (const cpus of options.cpus.split(',').map(Number)) {
  const path = join(folder, `${kernel.bzImage.release}-${cpus}.jsonl`);
  const done = new Set(readResults(path).map((result) => result.name));
  const left = points.filter(
    ({ name, phase }) => !done.has(name) && (options.phase === undefined || phase === options.phase),
  );
  if (!options.report && left.length > 0) {
    const built = await sweepImage(stock.vmlinuz, join(folder, 'payload'));
    const sweep: Sweep = { kernel, ...built, cpus, userspace };
    const queue = spread(left).slice(0, options.limit);
    let finished = done.size;
    const worker = async (): Promise<void> => {
      for (let point = queue.shift(); point !== undefined; point = queue.shift()) {
        const result = await runPoint(sweep, point);
        appendFileSync(path, `${JSON.stringify(result)}\n`);
        finished++;
        const verdict = result.recovered ? 'captured' : `NOT captured: ${result.reason}`;
        console.log(
          `${cpus} CPU ${finished}/${points.length} ${point.name} (${point.phase}): ${verdict}, ` +
            `${result.missing} lines missing, ${result.seconds} s`,
        );
      }
    };
    await Promise.all(Array.from({ length: options.workers }, worker));
  }
  tables.push({ cpus, results: readResults(path) });
}
const document = renderCoverage(kernel.bzImage.release, commandLine, points, tables);
writeFileSync(join(repository, 'docs', 'coverage.md'), document);

/** Every part of the timeline early in a sweep that may be stopped: each eighth point first, then the gaps. */
function spread(list: readonly SweepPoint[]): SweepPoint[] {
  const step = 8;
  return Array.from({ length: step }, (_, first) => list.filter((_, index) => index % step === first)).flat();
}
