/**
 * Where the time from a panic to the restart goes: instructions, which are nanoseconds of the machine's clock here (count-instructions.ts), so
 * that waiting for a disk, a serial port and the ten seconds of `saveoops.hold=` count, too. The log is saved on the boot disk.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { build } from '../../src/library/build.js';
import { readKernelSymbols, requireFunction } from '../../src/machine/kernel-functions.js';
import { unattendedDisk } from '../harness/unattended-disk.js';
import { countInstructions } from './count-instructions.js';
import { kernelEntryPlaces } from './crash.js';
import type { Figure } from './figures.js';

/** Functions of the crash kernel that mark the end of a stage. The primary has none of them behind panic(). */
const marks = {
  start: 'start_kernel',
  init: 'free_initmem',
  saved: '__x64_sys_fsync',
  restart: 'machine_restart',
} as const;

export async function benchCapture(kernel: string, folder: string): Promise<readonly Figure[]> {
  const out = join(folder, 'payload');
  await build({ kernel, out, save: 'boot' });
  const symbols = await readKernelSymbols(kernel);
  const run = join(folder, 'run');
  mkdirSync(run);
  // Without an initramfs and a root file system the primary panics by itself.
  const image = await unattendedDisk(out, 'saveoops', 'nokaslr saveoops.hold=0', run);
  const [entry] = kernelEntryPlaces(kernel);
  if (entry === undefined) throw new Error('no entry');
  const { visits } = await countInstructions({ boot: { kind: 'disk', image } }, run, {
    places: [
      { name: 'panic', at: requireFunction(symbols, 'panic') },
      entry,
      ...Object.values(marks).map((name) => ({ name, at: requireFunction(symbols, name) })),
    ],
    after: 'panic',
    stop: [marks.restart],
  });
  const at = (place: string): number => {
    const visit = visits.find((each) => each.place === place);
    if (visit === undefined)
      throw new Error(`never at ${place}: ${visits.map((each) => each.place).join(' ')}`);
    return Number(visit.count);
  };
  const lastSaved = Number(visits.findLast(({ place }) => place === marks.saved)?.count);
  const all = at(marks.restart) - at('panic');
  const stage = (what: string, from: number, to: number): Figure => ({
    what: `from panic() to the restart: ${what}`,
    own: (to - from) / 1e6,
    anchor: 'of',
    anchored: all / 1e6,
    unit: 'ms of the machine',
  });
  return [
    stage('digests, and stopping the machine', at('panic'), at(entry.name)),
    stage('the crash kernel decompresses', at(entry.name), at(marks.start)),
    stage('it starts, and unpacks the capture initramfs', at(marks.start), at(marks.init)),
    stage('drivers, reading the log, the first file on the disk', at(marks.init), at(marks.saved)),
    stage('the other files', at(marks.saved), lastSaved),
    stage('the report and the log on the consoles, unmounting', lastSaved, at(marks.restart)),
  ];
}
