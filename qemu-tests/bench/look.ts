/**
 * Guest instructions of the COM32 module's look for a system that was reset, which every boot with --after-reset has to wait for: a cold
 * start, so nothing is found, and all of free memory below 4 GiB is looked through. Beside what firmware and Syslinux take before it.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { repository } from '../harness/folders.js';
import { unattendedDisk } from '../harness/unattended-disk.js';
import { countAt, countInstructions } from './count-instructions.js';
import type { Figure } from './figures.js';
import { buildPayload, MiB, randomFile } from './timed.js';

/** MiB of RAM. */
const sizes = [512, 8192];
/** What `code=` of the counter takes. */
const codeSize = 16;
const lookFunction = 'capture_after_reset';

export async function benchLook(kernel: string, folder: string): Promise<readonly Figure[]> {
  const dir = join(folder, 'payload');
  const initrd = randomFile(join(folder, 'initrd.img'), MiB);
  buildPayload(kernel, initrd, dir, ['--after-reset']);
  const places = lookPlaces();
  const figures: Figure[] = [];
  for (const memory of sizes) {
    const run = join(folder, String(memory));
    mkdirSync(run);
    const image = await unattendedDisk(dir, 'saveoops', '', run);
    const counted = await countInstructions({ boot: { kind: 'disk', image }, memory }, run, {
      places: [{ name: 'sector', at: 0x7c00n }, ...places],
      stop: ['looked'],
    });
    const [sector, look, looked] = ['sector', 'look', 'looked'].map((place) =>
      Number(countAt(counted, place)),
    ) as [number, number, number];
    figures.push({
      what: `${memory} MiB of RAM: instructions of the look for a system that was reset`,
      own: (looked - look) / 1e3,
      anchor: 'Syslinux before it',
      anchored: (look - sector) / 1e3,
      unit: 'k',
    });
  }
  return figures;
}

/** Where the look begins, and where the module goes on behind it, by their code: Syslinux puts the module where there is room. */
function lookPlaces(): { readonly name: string; readonly code: Uint8Array }[] {
  const module = join(repository, 'dist/stubs/module.elf');
  const listing = execFileSync('objdump', ['-d', '--wide', module], { encoding: 'utf8' }).split('\n');
  const begin = listing.indexOf(listing.find((line) => line.endsWith(`<${lookFunction}>:`)) ?? '');
  const call = listing.findIndex((line) => line.includes('call') && line.includes(`<${lookFunction}@plt>`));
  if (begin < 0 || call < 0) throw new Error(`no ${lookFunction} in ${module}`);
  return [
    { name: 'look', code: codeFrom(listing, begin + 1) },
    { name: 'looked', code: codeFrom(listing, call + 1) },
  ];
}

/** The bytes of one block of QEMU's at most: it ends with the first branch. */
function codeFrom(listing: readonly string[], first: number): Uint8Array {
  const bytes: number[] = [];
  for (const line of listing.slice(first)) {
    const [, code = '', text = ''] = line.split('\t');
    bytes.push(
      ...code
        .trim()
        .split(' ')
        .map((byte) => Number.parseInt(byte, 16)),
    );
    if (/^(j|call|ret)/.test(text) || bytes.length >= codeSize) break;
  }
  return Uint8Array.from(bytes).subarray(0, codeSize);
}
