/**
 * `saveoops build` with a 100 MiB initrd against a floor (build-floor.ts) that writes the same files, and the same kernel with
 * another initrd (`repack --initrd`: what `update` does after update-initramfs) against copying it: copy-floor.ts. Alternating
 * runs; medians, and medians of the ratios of each pair.
 */
import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { repository } from '../harness/folders.js';
import type { Figure } from './figures.js';
import { measured, type Cost } from './measured.js';
import { buildPayload, cli, median, MiB, randomFile, sizeOf } from './timed.js';

const pairs = 5;
const initrdSize = 100 * MiB;
/** What the tool may need beside its largest input, bytes. */
const memoryGoal = 250 * MiB;

export async function benchBuild(kernel: string, folder: string): Promise<readonly Figure[]> {
  const initrd = randomFile(join(folder, 'initrd.img'), initrdSize);
  const out = join(folder, 'built');
  buildPayload(kernel, initrd, out);
  const sizes = readdirSync(out).map((name) => String(sizeOf(join(out, name))));
  const payload = join(out, 'saveoops.c32');
  const again = join(folder, 'again.c32');
  const floor = (name: string): string => join(repository, `dist/qemu-tests/bench/${name}.js`);
  return [
    ...(await compare(
      `build, ${initrdSize / MiB} MiB initrd`,
      'a floor that writes every file',
      { wall: 1.3, cpu: 1.3 },
      [
        cli,
        'build',
        '--no-config',
        '--kernel',
        kernel,
        '--initrd',
        initrd,
        '--out',
        join(folder, 'measured'),
      ],
      [floor('build-floor'), kernel, initrd, join(folder, 'floor'), ...sizes],
      [join(folder, 'measured')],
    )),
    ...(await compare(
      'the same kernel, another initrd',
      'copying',
      { wall: 1.15, cpu: 1.15 },
      [cli, 'repack', payload, '--initrd', initrd, '--out', again],
      [floor('copy-floor'), payload, initrd, join(folder, 'copy')],
      [again, join(folder, 'copy')],
    )),
  ];
}

async function compare(
  what: string,
  anchor: string,
  goal: { readonly wall: number; readonly cpu: number },
  ours: readonly string[],
  floor: readonly string[],
  written: readonly string[],
): Promise<readonly Figure[]> {
  const runs: { readonly ours: Cost; readonly floor: Cost }[] = [];
  for (let i = 0; i < pairs; i++) {
    for (const path of written) rmSync(path, { recursive: true, force: true });
    const mine = await measured(process.execPath, ours);
    runs.push({ ours: mine, floor: await measured(process.execPath, floor) });
  }
  const timed = (of: 'wall' | 'cpu', name: string): Figure => ({
    what: `${what}: ${name}, median of ${pairs}`,
    own: median(runs.map((run) => run.ours[of])),
    anchor,
    anchored: median(runs.map((run) => run.floor[of])),
    unit: 's',
    goal: goal[of],
  });
  return [
    timed('wall', 'wall clock'),
    timed('cpu', 'processor time'),
    {
      what: `${what}: peak memory, median of ${pairs}`,
      own: median(runs.map((run) => run.ours.peak)) / MiB,
      anchor: 'largest input and 250 MiB:',
      anchored: (initrdSize + memoryGoal) / MiB,
      unit: 'MiB',
      goal: 1,
    },
  ];
}
