/** Wall-clock time of `saveoops build` with a 100 MiB initrd against a floor: build-floor.ts. Alternating runs, medians. */
import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { repository } from '../harness/folders.js';
import { buildPayload, median, MiB, randomFile, sizeOf, timed } from './timed.js';

const pairs = 5;
const initrdSize = 100 * MiB;

export function benchBuild(kernel: string, folder: string): string {
  const initrd = randomFile(join(folder, 'initrd.img'), initrdSize);
  const out = join(folder, 'built');
  buildPayload(kernel, initrd, out);
  const payload = [sizeOf(join(out, 'saveoops.c32'))];
  const all = readdirSync(out).map((name) => sizeOf(join(out, name)));
  const floor = join(repository, 'dist/qemu-tests/bench/build-floor.js');
  const floorOf = (sizes: readonly number[]): number =>
    timed(process.execPath, [floor, kernel, initrd, join(folder, 'floor'), ...sizes.map(String)]);
  const [builds, floors, floorsOfAll]: [number[], number[], number[]] = [[], [], []];
  for (let i = 0; i < pairs; i++) {
    rmSync(out, { recursive: true });
    builds.push(buildPayload(kernel, initrd, out));
    floors.push(floorOf(payload));
    floorsOfAll.push(floorOf(all));
  }
  const [built, floored, flooredAll] = [median(builds), median(floors), median(floorsOfAll)];
  const seconds = (value: number): string => `${value.toFixed(2)} s`;
  return (
    `  build, ${initrdSize / MiB} MiB initrd: ${seconds(built)}; floor that writes saveoops.c32: ${seconds(floored)}, ` +
    `ratio ${(built / floored).toFixed(2)}; floor that writes every file of the folder: ${seconds(flooredAll)}, ` +
    `ratio ${(built / flooredAll).toFixed(2)} (medians of ${pairs}, spread of build ` +
    `${seconds(Math.min(...builds))} to ${seconds(Math.max(...builds))})`
  );
}
