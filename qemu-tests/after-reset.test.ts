/** A machine that is reset while a kernel runs: the next boot captures that kernel's log; after an orderly end it does not. */
import { expect, test } from '@jest/globals';
import { serialLines } from '../src/machine/serial-text.js';
import { runSaveoops } from '../src/testkit/command-line.js';
import { thorough } from '../src/testkit/lanes.js';
import { bootDisk, check } from './harness/boot.js';
import {
  buttonWhenUp,
  expectCaptured,
  expectNoCapture,
  lastOnSerial,
  resetAt,
  resetPayload,
} from './reset-machine.js';

const minutes = 60_000;

thorough(
  'after the reset button the log comes back up to its last line',
  async () => {
    await expectCaptured(await resetPayload(), { cpus: 2, meanwhile: buttonWhenUp });
  },
  8 * minutes,
);

test(
  'after a restart nothing is captured',
  async () => {
    await expectNoCapture(await resetPayload(), { words: 'guest.do=reboot' });
  },
  8 * minutes,
);

test(
  'a hang at pci_subsys_init becomes a report of its last message, without a finger lifted',
  async () => {
    const dir = await resetPayload([], '', { bootWatchdog: 60, save: 'boot', name: 'boot-watchdog' });
    const run = await expectCaptured(
      dir,
      {
        ...(await resetAt(dir, 'watchdog', 'pci_subsys_init')),
        writable: true,
        endAt: [/^saveoops: reboot in 0 seconds$/],
      },
      lastOnSerial,
    );
    const report = runSaveoops(['report', `${bootDisk(run)}:last`, '--json']);
    check(run, () => {
      const lines = serialLines(run.serial);
      expect(lines).toContain("saveoops: reset by the chipset's watchdog (TCO)");
      const said = lines.findLast((line) => line.startsWith('saveoops: hung or reset ')) ?? '';
      const { reset } = JSON.parse(report.stdout) as {
        reset: { last: { text: string }; by: string; image: { checked: number } };
      };
      // Nothing is lost in QEMU, and there is enough to see that by.
      expect(reset).toMatchObject({ image: { lost: 0 }, tables: { lost: 0 } });
      expect(reset.image.checked).toBeGreaterThan(200);
      expect(reset.by).toBe("the chipset's watchdog (TCO)");
      expect(reset.last.text).not.toBe('');
      expect(said).toContain(reset.last.text);
    });
  },
  8 * minutes,
);
