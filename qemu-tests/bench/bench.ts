/** `npm run bench`: ratios, each taken in one run, into docs/results/performance.md; nothing is asserted. Arguments: those wanted of build, repack, boot, look, crash, sha256, start. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { parseBzImage } from '../../src/formats/bzimage/parse-bzimage.js';
import { payloadCompression } from '../../src/formats/bzimage/payload.js';
import { stockKernels } from '../../src/testkit/stock-kernels.js';
import { benchBoot } from './boot.js';
import { benchBuild } from './build.js';
import { benchCrash } from './crash.js';
import { keepFigures, showFigure } from './figures.js';
import { benchLook } from './look.js';
import { benchRepack } from './repack.js';
import { benchSha256 } from './sha256.js';
import { benchStart } from './start.js';

const benches = {
  build: benchBuild,
  repack: benchRepack,
  boot: benchBoot,
  look: benchLook,
  crash: benchCrash,
  sha256: benchSha256,
  start: benchStart,
};

const wanted = process.argv.slice(2);
for (const { vmlinuz, flavour } of stockKernels()) {
  if (!/^(cloud-)?amd64$/.test(flavour)) continue;
  const compression = payloadCompression(parseBzImage(readFileSync(vmlinuz), vmlinuz).payload);
  const title = `${basename(vmlinuz)} (${compression ?? 'not compressed'})`;
  console.log(`\n${title}`);
  for (const [name, bench] of Object.entries(benches)) {
    if (wanted.length > 0 && !wanted.includes(name)) continue;
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
