/**
 * `npm run bench`: ratios, each taken in one run, into docs/results/performance.md; nothing is asserted. Arguments: those wanted of build, repack,
 * boot, look, crash, capture, region, sha256, start, and parts of kernels' names.
 */
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { parseBzImage } from '../../src/formats/bzimage/parse-bzimage.js';
import { payloadCompression } from '../../src/formats/bzimage/payload.js';
import { stockKernels } from '../../src/testkit/stock-kernels.js';
import { cache } from '../harness/folders.js';
import { benchBoot } from './boot.js';
import { benchBuild } from './build.js';
import { benchCapture } from './capture.js';
import { benchCrash } from './crash.js';
import { keepFigures, showFigure, type Figure } from './figures.js';
import { benchLook } from './look.js';
import { benchRegion } from './region.js';
import { benchRepack } from './repack.js';
import { benchSha256 } from './sha256.js';
import { benchStart } from './start.js';

type Bench = (vmlinuz: string, folder: string) => readonly Figure[] | Promise<readonly Figure[]>;

const benches: Readonly<Record<string, Bench>> = {
  build: benchBuild,
  repack: benchRepack,
  boot: benchBoot,
  look: benchLook,
  crash: benchCrash,
  capture: benchCapture,
  region: benchRegion,
  sha256: benchSha256,
  start: benchStart,
};
/** The newer kernels (scripts/bench-kernels.sh) are there for what depends on their compression and size. */
const benchesOfOthers = new Set(['boot', 'region']);

const others = join(cache, 'bench', 'kernels');
const kernels = [
  ...stockKernels()
    .filter(({ flavour }) => /^(cloud-)?amd64$/.test(flavour))
    .map(({ vmlinuz }) => ({ vmlinuz, names: Object.keys(benches) })),
  ...(existsSync(others) ? readdirSync(others).sort() : []).flatMap((name) => {
    const boot = join(others, name, 'boot');
    return readdirSync(boot).map((file) => ({ vmlinuz: join(boot, file), names: [...benchesOfOthers] }));
  }),
];

const words = process.argv.slice(2);
const wanted = words.filter((word) => word in benches);
const wantedKernels = words.filter((word) => !(word in benches));
for (const { vmlinuz, names } of kernels) {
  const kernel = basename(vmlinuz);
  if (wantedKernels.length > 0 && !wantedKernels.some((part) => kernel.includes(part))) continue;
  const compression = payloadCompression(parseBzImage(readFileSync(vmlinuz), vmlinuz).payload);
  const title = `${kernel} (${compression ?? 'not compressed'})`;
  console.log(`\n${title}`);
  for (const name of names) {
    const bench = benches[name];
    if (bench === undefined || (wanted.length > 0 && !wanted.includes(name))) continue;
    const folder = mkdtempSync(join(tmpdir(), 'svo-'));
    try {
      const figures = await bench(vmlinuz, folder);
      console.log(figures.map(showFigure).join('\n'));
      keepFigures(title, name, figures);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }
}
