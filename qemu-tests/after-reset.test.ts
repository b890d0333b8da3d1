/** A machine that is reset while a kernel runs: the next boot captures that kernel's log; after an orderly end it does not. */
import { test } from '@jest/globals';
import { buttonWhenUp, expectCaptured, expectNoCapture, resetPayload } from './reset-machine.js';

const minutes = 60_000;

test(
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
