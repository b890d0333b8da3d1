/**
 * `npm run sweep`: panics a stock kernel at every step of its boot and writes docs/coverage.md.
 *
 * Results go to .cache/sweep/<kernel>-<cpus>.jsonl as they come; points that are there already are not run again, so
 * a sweep can be stopped at any time and goes on later. Options: --flavour amd64, --cpus 1,4, --limit N points,
 * --workers 2, --report (only write the document).
 */
import { randomBytes } from 'node:crypto';
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import yargs from 'yargs';
import { hideBin } from 'yargs/helpers';
import { runBuild } from '../../src/commands/build.js';
import { logEnds } from '../../src/capture/markers.js';
import { readManifest } from '../../src/image/payload-folder.js';
import { loadKernel, type Kernel } from '../../src/kernel/load-kernel.js';
import { injectPanic } from '../../src/machine/inject-panic.js';
import { functionAddress } from '../../src/machine/kernel-functions.js';
import { judgeCapture, wrongEnds } from '../../src/machine/outcome.js';
import { runScenario } from '../../src/machine/scenario.js';
import type { Manifest } from '../../src/payload/manifest.js';
import { cache, repository } from '../harness/folders.js';
import { stockKernel } from '../harness/payloads.js';
import { missingLines } from './compare-logs.js';
import { sweepPoints, type SweepPoint } from './points.js';
import { renderCoverage, type SweepResult } from './report.js';

const commandLine = 'ignore_loglevel earlyprintk=ttyS0,115200,keep';
const timeout = 120;

interface Sweep {
  readonly kernel: Kernel;
  readonly image: string;
  readonly debug: Manifest['debug'];
  readonly cpus: number;
}

async function runPoint(sweep: Sweep, point: SweepPoint): Promise<SweepResult> {
  const message = `Saveoops sweep ${randomBytes(6).toString('hex')}`;
  const folder = mkdtempSync(join(tmpdir(), 'svo-'));
  let reached = false;
  try {
    const run = await runScenario({
      machine: {
        boot: { kind: 'kernel', kernel: sweep.image, append: commandLine },
        cpus: sweep.cpus,
      },
      folder,
      timeout,
      endAt: [new RegExp(`${logEnds}\\s*$`), ...wrongEnds.map(({ pattern }) => pattern)],
      debug: async (gdb) => {
        await injectPanic(gdb, {
          functionName: point.name,
          message,
          linkAddressOf: (name) => functionAddress(sweep.kernel.kallsyms, name),
          kaslr: { kind: 'payload', debug: sweep.debug },
          timeoutMs: timeout * 1000,
        });
        reached = true;
      },
    });
    const outcome = judgeCapture(run, message);
    const missing = missingLines(run.serial, outcome.recovered?.text ?? '');
    return {
      ...point,
      reached,
      stub: /^saveoops: kernel panic/m.test(run.serial),
      crashKernel: outcome.recovered !== undefined,
      recovered: outcome.outcome === 'passed',
      lines: outcome.recovered?.text.split('\n').length ?? 0,
      missing: missing.length,
      firstMissing: missing[0],
      reason: outcome.outcome === 'passed' ? '' : outcome.reason,
      seconds: Math.round(run.seconds * 10) / 10,
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

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
    workers: { type: 'number', default: 2, describe: 'machines at the same time' },
    report: { type: 'boolean', default: false, describe: 'run nothing, write docs/coverage.md' },
  })
  .strict()
  .parseAsync();

const stock = stockKernel(options.flavour);
const kernel = await loadKernel(readFileSync(stock.vmlinuz), options.flavour);
const points = sweepPoints(kernel);
const folder = join(cache, 'sweep');
mkdirSync(folder, { recursive: true });
const tables: { cpus: number; results: SweepResult[] }[] = [];
for (const cpus of options.cpus.split(',').map(Number)) {
  const path = join(folder, `${kernel.bzImage.release}-${cpus}.jsonl`);
  const done = new Set(readResults(path).map((result) => result.name));
  const left = points.filter((point) => !done.has(point.name));
  if (!options.report && left.length > 0) {
    const out = join(folder, 'payload');
    await runBuild(
      {
        kernel: stock.vmlinuz,
        initrd: [],
        initrdBeside: false,
        append: '',
        crashKernel: undefined,
        crashInitrd: undefined,
        crashAppend: 'saveoops.hold=0 quiet',
        crashSize: undefined,
        out,
        format: 'bzimage',
        json: false,
      },
      { out: () => undefined },
    );
    const { debug } = await readManifest(out);
    const sweep: Sweep = { kernel, image: join(out, 'saveoops.bzimage'), debug, cpus };
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
