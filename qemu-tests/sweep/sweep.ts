/**
 * `npm run sweep`: panics a stock kernel at every step of its boot and writes docs/results/coverage.md.
 *
 * Results go to .cache/sweep/<kernel>-<cpus>.jsonl as they come; points that are there already are not run again, so
 * a sweep can be stopped at any time and goes on later; under UEFI to <kernel>-uefi-<cpus>.jsonl, of resets to
 * <kernel>-reset-<cpus>.jsonl. Options: --firmware uefi, --reset, --points 200 (of the whole timeline, evenly spread), --flavour amd64, --cpus 1,4, --limit N points, --phase userspace,
 * --workers 2, --report (only write the document).
 */
import { appendFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import yargs from 'yargs';
import { hideBin } from 'yargs/helpers';
import { loadKernel } from '../../src/kernel/load-kernel.js';
import { cache, repository } from '../harness/folders.js';
import { stockKernel } from '../harness/payloads.js';
import { bootPoints, type BootPoint } from '../../src/kernel/boot-points.js';
import { renderCoverage, type SweepResult, type SweepWay, type SweptTimeline } from './report.js';
import { commandLines, resetKindOf, runPoint, sweepDisk, sweepImage, type Sweep } from './run-point.js';
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
    firmware: { choices: ['bios', 'uefi'] as const, default: 'bios' as const, describe: 'SeaBIOS or OVMF' },
    reset: { type: 'boolean', default: false, describe: 'no panics: resets, which the next boot captures' },
    points: {
      type: 'number',
      describe: 'points of the timeline, evenly spread (default: all; UEFI and resets: 200)',
    },
    flavour: { type: 'string', default: 'amd64', describe: 'stock kernel' },
    cpus: { type: 'string', default: '1,4', describe: 'numbers of CPUs, comma-separated' },
    limit: { type: 'number', default: Infinity, describe: 'new points of each number of CPUs at most' },
    phase: { type: 'string', describe: 'points of this phase alone: userspace, "initcall fs", ...' },
    workers: { type: 'number', default: 2, describe: 'machines at the same time' },
    report: { type: 'boolean', default: false, describe: 'run nothing, write docs/results/coverage.md' },
  })
  .check(({ firmware, reset }) => !(firmware === 'uefi' && reset) || 'resets are captured by BIOS only')
  .strict()
  .parseAsync();

const stock = stockKernel(options.flavour);
const kernel = await loadKernel(readFileSync(stock.vmlinuz), options.flavour);
const allPoints = [...bootPoints(kernel), ...userspacePoints(kernel)];
const way: SweepWay = options.reset ? 'reset' : options.firmware;
const points = evenly(allPoints, options.points ?? (way === 'bios' ? allPoints.length : 200));
const userspace = await userspaceInitramfs(stock.vmlinuz, kernel.bzImage.release);
const folder = join(cache, 'sweep');
mkdirSync(folder, { recursive: true });
const tables: { cpus: number; results: SweepResult[] }[] = [];
for (const cpus of options.cpus.split(',').map(Number)) {
  const path = join(folder, `${kernel.bzImage.release}${way === 'bios' ? '' : `-${way}`}-${cpus}.jsonl`);
  const done = new Set(readResults(path).map((result) => result.name));
  const left = points.filter(
    ({ name, phase }) => !done.has(name) && (options.phase === undefined || phase === options.phase),
  );
  if (!options.report && left.length > 0) {
    const built =
      way === 'reset'
        ? await sweepDisk(stock.vmlinuz, userspace, join(folder, 'payload-reset'))
        : await sweepImage(stock.vmlinuz, join(folder, 'payload'));
    const sweep: Sweep = { kernel, ...built, way, cpus, userspace };
    const queue = spread(left).slice(0, options.limit);
    let finished = done.size;
    const worker = async (): Promise<void> => {
      for (let point = queue.shift(); point !== undefined; point = queue.shift()) {
        const result = await runPoint(sweep, point, resetKindOf(points.indexOf(point)));
        appendFileSync(path, `${JSON.stringify(result)}\n`);
        finished++;
        const verdict = result.recovered ? 'captured' : `NOT captured: ${result.reason}`;
        console.log(
          `${cpus} CPU ${finished}/${points.length} ${point.name} (${result.phase}): ${verdict}, ` +
            `${result.missing} lines missing, ${result.seconds} s`,
        );
      }
    };
    await Promise.all(Array.from({ length: options.workers }, worker));
  }
  tables.push({ cpus, results: readResults(path) });
}
const coverage = join(repository, 'docs/results/coverage.md');
const timeline: SweptTimeline = {
  way,
  release: kernel.bzImage.release,
  commandLine: commandLines[way],
  points,
  allPoints: allPoints.length,
  tables,
};
const before = existsSync(coverage) ? readFileSync(coverage, 'utf8') : '';
writeFileSync(coverage, renderCoverage(before, timeline));

/** `count` of a list, from its first one on. */
function evenly<T>(list: readonly T[], count: number): T[] {
  const step = Math.max(1, list.length / count);
  return list.filter((_, index) => Math.floor(index / step) !== Math.floor((index - 1) / step));
}

/** Every part of the timeline early in a sweep that may be stopped: each eighth point first, then the gaps. */
function spread(list: readonly BootPoint[]): BootPoint[] {
  const step = 8;
  return Array.from({ length: step }, (_, first) => list.filter((_, index) => index % step === first)).flat();
}
