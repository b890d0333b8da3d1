/** A machine that starts by GRUB, from the armed default to the other entry after a capture. The short form of grub.lane.ts. */
import { expect, test } from '@jest/globals';
import { runSaveoops } from '../src/testkit/command-line.js';
import { GrubDisk } from './grub/grub-disk.js';

test('GRUB by BIOS: the armed kernel is the default, its panic is captured, and the plain one starts next and knows', async () => {
  const disk = await GrubDisk.make('bios', ['--max-captures-in-a-row', '1']);
  try {
    // The harness' default is that a reset ends the run.
    const said = await disk.boot('-action', 'reboot=reset');
    const [capture = 'none'] = disk.captures();
    expect(said).toEqual(['guest: armed', `guest: plain, after ${capture}`, 'guest-shutdown']);
    expect(disk.environment()).toBe('saveoops_capture=\nnext_entry=\n');
    const report = runSaveoops(['report', `${disk.image}:last`]);
    expect(report).toMatchObject({ status: 0, stderr: '' });
    expect(report.stdout).toContain('Kernel panic - not syncing: sysrq triggered crash');
  } finally {
    disk.delete();
  }
}, 660_000);
