/**
 * Guest instructions from the first one of the boot sector to start_kernel, armed against plain LINUX and INITRD of the same kernel, and
 * the bytes that were read from the disk for it. Without KASLR: start_kernel's address is known.
 */
import { mkdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { parseBzImage } from '../../src/formats/bzimage/parse-bzimage.js';
import { payloadCompression } from '../../src/formats/bzimage/payload.js';
import { readManifest } from '../../src/image/payload-folder.js';
import { readKernelSymbols, requireFunction } from '../../src/machine/kernel-functions.js';
import { unattendedDisk } from '../harness/unattended-disk.js';
import { countAt, countInstructions } from './count-instructions.js';
import type { Figure } from './figures.js';
import { buildPayload, MiB, randomFile } from './timed.js';

interface BootCount {
  /** From the boot sector on. */
  readonly total: number;
  /** To the kernel's entry: Syslinux. */
  readonly loading: number;
  readonly kernel: number;
  readonly bytesRead: number;
}

const initrdSizes = [16, 100];
/** Where Syslinux puts a bzImage's protected-mode code (boot.rst, "Loading The Rest of The Kernel"). */
const loadAddress = 0x100000n;

/** Largest ratio to a plain boot, by the compression of the kernel: docs/design.md, "Where the instructions go". */
const goals: Readonly<Record<string, number>> = { xz: 0.06, zstd: 0.4, lz4: 1.15 };

export async function benchBoot(kernel: string, folder: string): Promise<readonly Figure[]> {
  const goal = goals[payloadCompression(parseBzImage(readFileSync(kernel), kernel).payload) ?? ''];
  const startKernel = requireFunction(await readKernelSymbols(kernel), 'start_kernel');
  const figures: Figure[] = [];
  for (const size of initrdSizes) {
    const initrd = randomFile(join(folder, 'initrd.img'), size * MiB);
    const out = join(folder, `boot-${basename(kernel)}-${size}`);
    buildPayload(kernel, initrd, out);
    const { debug } = await readManifest(out);
    const plain = await bootOf(out, 'saveoops-plain', loadAddress, startKernel);
    const armed = await bootOf(out, 'saveoops', loadAddress + BigInt(debug.stub), startKernel);
    const figure = (what: string, key: keyof BootCount, unit = 'M'): Figure => ({
      what: `${size} MiB initrd: ${what}`,
      own: armed[key] / 1e6,
      anchor: 'plain',
      anchored: plain[key] / 1e6,
      unit,
    });
    figures.push(
      {
        ...figure('instructions from the boot sector to start_kernel', 'total'),
        ...(goal === undefined ? {} : { goal }),
      },
      figure('of these Syslinux, loading', 'loading'),
      figure('of these from code32_start on', 'kernel'),
      figure('read from the disk', 'bytesRead', 'MB'),
    );
  }
  return figures;
}

async function bootOf(out: string, label: string, entry: bigint, startKernel: bigint): Promise<BootCount> {
  const folder = join(out, label);
  mkdirSync(folder);
  const counted = await countInstructions(
    { boot: { kind: 'disk', image: await unattendedDisk(out, label, 'nokaslr', folder) } },
    folder,
    {
      places: [
        { name: 'sector', at: 0x7c00n },
        // Syslinux itself runs at 1 MiB until it moves the kernel there: the last visit is the kernel's.
        { name: 'entry', at: entry },
        { name: 'start_kernel', at: startKernel },
      ],
      stop: ['start_kernel'],
    },
  );
  const [sector, entered, end] = ['sector', 'entry', 'start_kernel'].map((place) =>
    Number(countAt(counted, place)),
  ) as [number, number, number];
  return {
    total: end - sector,
    loading: entered - sector,
    kernel: end - entered,
    bytesRead: counted.bytesRead,
  };
}
