/**
 * The capture that needs the most memory of those that the defaults allow: drivers for a disk on each kind of controller,
 * the largest file system, the log, and a filtered dump by makedumpfile.
 */
import { markedBlocks } from '../../src/machine/recovered-log.js';
import type { ScenarioResult } from '../../src/machine/scenario.js';
import { captureRunning } from '../harness/capture-guest.js';
import { blockBegins, blockEnds, printBlock } from '../harness/guest.js';

const script = `
save() {
  mkdir /mnt
  load-modules storage
  load-modules watchdog
  load-modules fs btrfs
  mount -t btrfs /dev/vda /mnt
  cat /mnt/which
  # init has the log and a report of it in memory.
  vmcore-dmesg /proc/vmcore >/run/log
  cat /run/log >/run/report
  save-dump filtered /mnt/saved
  echo "status $?"
  grep MemAvailable /proc/meminfo
  umount /mnt
}
${printBlock('heavy capture', 'save')}
`;

/** Gives the path of its initramfs. */
export async function heavyCapture(flavour: string): Promise<string> {
  return await captureRunning(script, flavour);
}

export interface HeavyOutcome {
  /** All was saved. */
  readonly saved: boolean;
  /** KiB that were left at the end (MemAvailable). */
  readonly available?: number;
  /** What the guest said, for a person. */
  readonly lines: readonly string[];
}

export function heavyOutcome(run: ScenarioResult): HeavyOutcome {
  const [block] = markedBlocks(run.serial, blockBegins('heavy capture'), blockEnds('heavy capture'));
  const lines = block?.complete === true ? block.lines : [];
  const available = Number(lines.map((line) => /^MemAvailable: +(\d+) kB$/.exec(line)?.[1]).find(Boolean));
  return {
    saved:
      lines.includes('btrfs virtio') &&
      lines.includes('status 0') &&
      lines.some((line) => /vmcore \(\d+ bytes, makedumpfile -l -d 31\)$/.test(line)),
    ...(Number.isNaN(available) ? {} : { available }),
    lines,
  };
}
