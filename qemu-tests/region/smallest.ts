/**
 * `npm run smallest-region`: how small may the crash region be? Bisects in steps of 2 MiB, by captures of the heaviest
 * kind (heavy-capture.ts) after a real panic, until it has a size that did and the next smaller one that did not. Each size
 * must do several times: what fails first is the kernel's own start, and that has chance in it.
 * docs/capture.md has the results.
 *
 * Options: --flavour amd64, --memory 512,8192 (MiB, of the machine), --from, --to (MiB, of the region), --times 3.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import yargs from 'yargs';
import { hideBin } from 'yargs/helpers';
import { captureCommandLine } from '../../src/capture-initramfs/command-line.js';
import { generator } from '../../src/host/version.js';
import { loadKernel } from '../../src/kernel/load-kernel.js';
import { runScenario } from '../../src/machine/scenario.js';
import { buildPayload } from '../../src/payload/build-payload.js';
import { loadStubObjects } from '../../src/stubs/stub-objects.js';
import { cache } from '../harness/folders.js';
import { guestInitramfs } from '../harness/guest.js';
import { ManyDisks } from '../harness/many-disks.js';
import { stockKernel } from '../harness/payloads.js';
import { heavyCapture, heavyOutcome } from './heavy-capture.js';

const MiB = 1 << 20;
const step = 2;

const options = await yargs(hideBin(process.argv))
  .options({
    flavour: { type: 'string', default: 'amd64', describe: 'stock kernel' },
    memory: { type: 'string', default: '512,8192', describe: "MiB of the machines' RAM, comma-separated" },
    from: { type: 'number', default: 98, describe: 'MiB of a region that will not do' },
    to: { type: 'number', default: 144, describe: 'MiB of one that will' },
    times: { type: 'number', default: 3, describe: 'captures that a size must do' },
  })
  .strict()
  .parseAsync();

const { vmlinuz } = stockKernel(options.flavour);
const bytes = readFileSync(vmlinuz);
const [loaded, stubs, crashInitrd, initrd] = await Promise.all([
  loadKernel(bytes, vmlinuz),
  loadStubObjects(),
  heavyCapture(options.flavour),
  guestInitramfs('echo c >/proc/sysrq-trigger\n'),
]);

/** The composed image, without the check that the build makes of the region's size. */
async function imageWith(size: number): Promise<Uint8Array> {
  const kernel = { name: 'vmlinuz', bytes };
  const { image } = await buildPayload({
    ...{
      generator,
      kernel,
      loaded,
      stubs,
      crashKernel: kernel,
      initrds: [],
      initrdBeside: false,
      append: '',
      plainAppend: '',
      oopsPanic: false,
    },
    // The check asks for what it knows to be used, beside room: here it is to know of nothing.
    crashInitrd: { bytes: readFileSync(crashInitrd), unpackedSize: 0 },
    crashAppend: captureCommandLine.join(' '),
    ownCrashAppend: '',
    crashSize: size * MiB,
    reset: { vga: false, pic: false },
    afterReset: false,
    bootWatchdog: 0,
  });
  return image.bytes;
}

const folder = join(cache, 'smallest-region');
mkdirSync(folder, { recursive: true });
const disks = new ManyDisks();

async function tryOnce(size: number, memory: number): Promise<boolean> {
  const work = mkdtempSync(join(tmpdir(), 'svo-'));
  const kernel = join(folder, 'image');
  writeFileSync(kernel, await imageWith(size));
  const run = await runScenario({
    machine: {
      boot: { kind: 'kernel', kernel, initrd, append: 'console=ttyS0,115200' },
      memory,
      extra: [...disks.options, '-device', 'i6300esb'],
    },
    folder: work,
    timeout: 240,
  });
  const { saved, available, lines } = heavyOutcome(run);
  writeFileSync(join(folder, `${options.flavour}-${memory}-${size}.log`), run.serial);
  rmSync(work, { recursive: true, force: true });
  const left = available === undefined ? '' : `, ${(available / 1024).toFixed(1)} MiB left at the end`;
  const last = lines.length === 0 ? 'did not come so far' : lines.join(' | ');
  console.log(
    `  ${size} MiB: ${saved ? 'works' : 'fails'} in ${run.seconds.toFixed(0)} s${left}${saved ? '' : `: ${last}`}`,
  );
  return saved;
}

async function works(size: number, memory: number): Promise<boolean> {
  for (let time = 0; time < options.times; time++) {
    if (!(await tryOnce(size, memory))) return false;
  }
  return true;
}

try {
  for (const memory of options.memory.split(',').map(Number)) {
    console.log(`${options.flavour}, ${memory} MiB of RAM:`);
    let [fails, does] = [options.from, options.to];
    while (does - fails > step) {
      const middle = fails + step * Math.round((does - fails) / (2 * step));
      if (await works(middle, memory)) does = middle;
      else fails = middle;
    }
    console.log(`${options.flavour}, ${memory} MiB of RAM: ${does} MiB work, ${fails} MiB do not`);
  }
} finally {
  disks.remove();
}
