/**
 * Panic, capture, reboot, again and again on one disk: 200 times, or as often as SAVEOOPS_SOAK says (`npm run test:soak`).
 * Each boot has an id of its own, and each capture that of its boot.
 */
import { dirname, join } from 'node:path';
import { expect, test } from '@jest/globals';
import { logEnds } from '../src/capture-initramfs/markers.js';
import { serialLines } from '../src/machine/serial-text.js';
import { bootPayload, check, serialConsole } from './harness/boot.js';
import { bootFat, captureFacts, damagedFiles } from './harness/boot-fat.js';
import { host } from './harness/disks.js';
import { guestInitramfs } from './harness/guest.js';
import { payload } from './harness/payloads.js';

const cycles = Number(process.env['SAVEOOPS_SOAK'] ?? 200);
/** Seconds; a cycle takes 12 on an idle machine. */
const timeout = 60 + 60 * cycles;

const script = `
id="soak $(cat /proc/sys/kernel/random/uuid)"
echo "$id" >/dev/kmsg
echo "guest: $id"
stty -echo
echo c >/proc/sysrq-trigger
`;

test(
  `${cycles} captures in a row, each complete and its own`,
  async () => {
    const dir = await payload({
      flavour: 'amd64',
      initrds: [await guestInitramfs(script)],
      crashAppend: 'saveoops.hold=0',
      maxCapturesInARow: 0,
      name: 'soak',
    });
    const run = await bootPayload(dir, {
      extraAppend: `${serialConsole} saveoops.save=boot`,
      writable: true,
      // The harness' default is that a reset ends the run.
      extra: ['-action', 'reboot=reset'],
      timeout,
      endAt: [/^saveoops: E/],
      meanwhile: async (machine, qmp) => {
        let from = 0;
        for (let cycle = 0; cycle < cycles; cycle++) {
          const ended = await machine.waitForLine([new RegExp(logEnds)], { timeoutMs: timeout * 1000, from });
          if (ended.kind !== 'line') return;
          const said = await machine.waitForLine([/^saveoops: reboot in/], {
            timeoutMs: timeout * 1000,
            from: ended.index,
          });
          if (said.kind !== 'line') return;
          from = said.index;
        }
        await (await qmp()).execute('quit');
      },
    });
    check(run, () => {
      const fat = bootFat(run, join(dirname(run.serialLog), 'boot'));
      const captures = captureFacts(fat);
      expect(captures).toHaveLength(cycles);
      expect(captures.flatMap(({ failures }) => failures)).toEqual([]);
      expect(damagedFiles(fat, captures)).toEqual([]);
      const ids = captures.map(
        ({ name }) => /soak \S+/.exec(host('cat', [fat.file(`saveoops/${name}/dmesg.txt`)]))?.[0],
      );
      // By name is by time.
      expect(ids).toEqual(
        serialLines(run.serial).flatMap((line) => /^guest: (soak \S+)$/.exec(line)?.[1] ?? []),
      );
    });
  },
  (timeout + 60) * 1000,
);
