/**
 * Stock readers on the real /proc/vmcore, in the crash kernel, and on what they made of it, on the host: vmcore-dmesg,
 * makedumpfile, and save-dump, which falls back when they fail. The oracle is what the dying kernel itself printed on
 * its serial port.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';
import { afterAll, describe, expect, test } from '@jest/globals';
import { serialLines } from '../src/machine/serial-text.js';
import { few, thorough } from '../src/testkit/lanes.js';
import { dumpAt, type DumpCase, type Dumped } from './dump-at.js';
import { check, guestBlock } from './harness/boot.js';
import { DumpDisk } from './harness/dump-disk.js';
import { printBlock } from './harness/guest.js';

const minutes = 60_000;
const disks: DumpDisk[] = [];
afterAll(() => {
  for (const disk of disks) disk.remove();
});

/** Each command's status, `NAME STATUS` a line. */
const readers = `
tell() { name=$1; shift; "$@" 2>/mnt/$name.errors; echo "$name $?"; }
dmesg_of_vmcore() { timeout 60 vmcore-dmesg /proc/vmcore >/mnt/vmcore-dmesg.txt; }
${printBlock(
  'readers',
  `tell vmcore-dmesg dmesg_of_vmcore
tell dump-dmesg makedumpfile --message-level 4 --dump-dmesg /proc/vmcore /mnt/dump-dmesg.txt
tell d31 makedumpfile --message-level 4 -l -d 31 /proc/vmcore /mnt/d31
tell d1 makedumpfile --message-level 4 -l -d 1 /proc/vmcore /mnt/d1`,
)}
`;
/** A file system on which the log has room and a dump has not. */
const savingOnFull = `mkdir /full
mount -t tmpfs -o size=8m tmpfs /full
${printBlock('full', 'save-dump filtered /full; echo "status $?"; ls -1 /full')}`;
const saving = printBlock('save-dump', 'save-dump filtered /mnt/saved; echo "status $?"');

async function dumped(wanted: DumpCase): Promise<Dumped> {
  const disk = new DumpDisk();
  disks.push(disk);
  return await dumpAt(disk, wanted);
}

/** What the dying kernel printed itself: its lines with a time stamp, until the crash stub took over. */
function printed({ run }: Dumped): readonly string[] {
  const lines = serialLines(run.serial);
  const end = lines.findIndex((line) => line.includes('saveoops: kernel panic: starting the crash kernel'));
  // In front of the kernel's first line stands the firmware's cursor positioning.
  return lines.slice(0, end).flatMap((line) => /\[ *\d+\.\d{6}\] .*$/.exec(line)?.[0].trimEnd() ?? []);
}

/**
 * Every printed line is in the log. Without the time stamps: of a message of several lines the console repeats it on
 * each, vmcore-dmesg does not.
 */
function expectPrintedIn(lines: readonly string[], log: string): void {
  const plain = (line: string): string => line.replace(/^\[ *\d+\.\d{6}\] /, '').trim();
  const logged = new Set(log.split('\n').map(plain));
  expect(lines.filter((line) => !logged.has(plain(line)))).toEqual([]);
}

const makedumpfile = (...args: readonly string[]): string =>
  execFileSync('makedumpfile', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });

/** The log that makedumpfile on the host finds in a dump. */
function logOfDump(dump: string): string {
  const out = `${dump}.log`;
  makedumpfile('-f', '--dump-dmesg', dump, out);
  return readFileSync(out, 'utf8');
}

describe('dumps of a panic', () => {
  test.each(
    few(1, [
      { place: 'late', cpus: 2, message: 'Kernel panic - not syncing: sysrq triggered crash', least: 300 },
      { place: 'console_init', message: 'Injected at console_init', least: 80 },
    ]),
  )(
    '$place: vmcore-dmesg, makedumpfile and save-dump give the log that the kernel printed',
    async ({ least, ...where }) => {
      const both = await dumped({ ...where, script: readers + saving + savingOnFull });
      const { run, disk } = both;
      check(run, () => {
        const lines = printed(both);
        expect(lines.length).toBeGreaterThan(least);
        expect(lines.some((line) => line.includes(where.message))).toBe(true);
        expect(guestBlock(run, 'readers')).toEqual(['vmcore-dmesg 0', 'dump-dmesg 0', 'd31 0', 'd1 0']);
        for (const file of ['vmcore-dmesg.txt', 'dump-dmesg.txt']) expectPrintedIn(lines, disk.text(file));
        expect(guestBlock(run, 'save-dump')).toEqual([
          expect.stringMatching(/^saved vmcore \(\d+ bytes, makedumpfile -l -d 31\)$/),
          'status 0',
        ]);
        expect(disk.names('saved')).toEqual(['vmcore']);
        expect(guestBlock(run, 'full')).toEqual([
          expect.stringMatching(/^failed makedumpfile -l -d 31 \(exit status \d+: no space left\)$/),
          'status 1',
          'vmcore.incomplete',
        ]);
        const sizes = ['saved/vmcore', 'd31', 'd1'].map((file) => {
          const dump = disk.file(file);
          expectPrintedIn(lines, logOfDump(dump));
          return statSync(dump).size;
        });
        const [saved, d31, d1] = sizes as [number, number, number];
        expect(saved).toBe(d31);
        expect(d31).toBeLessThan(d1);
      });
    },
    6 * minutes,
  );

  thorough(
    'start_kernel: makedumpfile cannot, and save-dump copies /proc/vmcore',
    async () => {
      const message = 'Injected at start_kernel';
      const compare = printBlock('core', 'cmp /proc/vmcore /mnt/saved/vmcore && stat -c %s /proc/vmcore');
      const { run, disk } = await dumped({ place: 'start_kernel', script: saving + compare, message });
      check(run, () => {
        expect(guestBlock(run, 'save-dump')).toEqual([
          expect.stringMatching(/^failed makedumpfile -l -d 31 \(exit status 1: .+\)$/),
          expect.stringMatching(/^failed makedumpfile -l -d 1 \(exit status 1: .+\)$/),
          expect.stringMatching(/^saved vmcore \(\d+ bytes, copy of \/proc\/vmcore\)$/),
          'status 0',
        ]);
        expect(disk.names('saved')).toEqual(['vmcore']);
        const core = disk.file('saved/vmcore');
        expect(guestBlock(run, 'core')).toEqual([String(statSync(core).size)]);
        expect(execFileSync('vmcore-dmesg', [core], { encoding: 'utf8' })).toContain(message);
      });
    },
    6 * minutes,
  );
});
