/**
 * `saveoops build` with a 100 MiB initrd against a floor (build-floor.ts) that writes the same files, and the same kernel with
 * another initrd (`repack --initrd`: what `update` does after update-initramfs) against copying it: copy-floor.ts. Alternating
 * runs; medians, and medians of the ratios of each pair. The goals are those of docs/testing.md.
 */
import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { repository } from '../harness/folders.js';
import { measured, type Cost } from './measured.js';
import { buildPayload, cli, median, MiB, randomFile, sizeOf } from './timed.js';

const pairs = 5;
const initrdSize = 100 * MiB;
/** What the tool may need beside its largest input, bytes. */
const memoryGoal = 250 * MiB;

export async function benchBuild(kernel: string, folder: string): Promise<string> {
  const initrd = randomFile(join(folder, 'initrd.img'), initrdSize);
  const out = join(folder, 'built');
  buildPayload(kernel, initrd, out);
  const sizes = readdirSync(out).map((name) => String(sizeOf(join(out, name))));
  const payload = join(out, 'saveoops.c32');
  const again = join(folder, 'again.c32');
  const floor = (name: string): string => join(repository, `dist/qemu-tests/bench/${name}.js`);
  const rows = [
    await compare(
      `build, ${initrdSize / MiB} MiB initrd, against a floor that writes every file`,
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
    ),
    await compare(
      `the same kernel, another initrd, against copying`,
      { wall: 1.15, cpu: 1.15 },
      [cli, 'repack', payload, '--initrd', initrd, '--out', again],
      [floor('copy-floor'), payload, initrd, join(folder, 'copy')],
      [again, join(folder, 'copy')],
    ),
  ];
  return rows.join('\n');
}

async function compare(
  what: string,
  goal: { readonly wall: number; readonly cpu: number },
  ours: readonly string[],
  floor: readonly string[],
  written: readonly string[],
): Promise<string> {
  const runs: { readonly ours: Cost; readonly floor: Cost }[] = [];
  for (let i = 0; i < pairs; i++) {
    for (const path of written) rmSync(path, { recursive: true, force: true });
    const mine = await measured(process.execPath, ours);
    runs.push({ ours: mine, floor: await measured(process.execPath, floor) });
  }
  const ratio = (of: 'wall' | 'cpu'): string => {
    const value = median(runs.map((run) => run.ours[of] / run.floor[of]));
    const [a, b] = [median(runs.map((run) => run.ours[of])), median(runs.map((run) => run.floor[of]))];
    return `${of} ${a.toFixed(2)} s / ${b.toFixed(2)} s, ratio ${value.toFixed(2)} (goal ${goal[of]})`;
  };
  const peak = median(runs.map((run) => run.ours.peak));
  const most = initrdSize + memoryGoal;
  return (
    `  ${what}: ${ratio('wall')}; ${ratio('cpu')}; peak memory ${(peak / MiB).toFixed(0)} MiB (goal ${most / MiB}); ` +
    `medians of ${pairs} pairs`
  );
}
