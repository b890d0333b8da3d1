/**
 * A log that the crash kernel has no memory to copy: vmcore-dmesg would need four and a half times log_buf_len, more than the
 * default region has. It is saved whole all the same. The oracle is what the guest put into it, line by line.
 * So much of it that it does not fit in the crash kernel's memory itself.
 */
import { afterAll, expect } from '@jest/globals';
import { serialLines } from '../src/machine/serial-text.js';
import { thorough } from '../src/testkit/lanes.js';
import { bootPayload, captured, check, serialConsole } from './harness/boot.js';
import { Disk } from './harness/disks.js';
import { guestInitramfs } from './harness/guest.js';
import { payload } from './harness/payloads.js';

const panic = 'Kernel panic - not syncing: sysrq triggered crash';
/** Lines of 800 characters; all stay in a log of 16 MiB. */
const lines = 17_000;
const disk = new Disk('ext4', 'data', 64);
afterAll(() => {
  disk.remove();
});

thorough(
  'log_buf_len=16M, and the region that is the default without it',
  async () => {
    const dir = await payload({
      flavour: 'amd64',
      initrds: [
        await guestInitramfs(`
pad=$(printf '%790s' | tr ' ' x)
i=0
while [ $i -lt ${lines} ]; do
  echo "line $i $pad" >&3
  i=$((i + 1))
done 3>/dev/kmsg
echo c >/proc/sysrq-trigger
`),
      ],
      append: 'sysrq_always_enabled printk.devkmsg=on log_buf_len=16M',
      save: 'LABEL=data',
      crashAppend: 'saveoops.hold=0',
      name: 'large-log',
    });
    const run = await bootPayload(dir, {
      memory: 512,
      endAt: [],
      extraAppend: serialConsole,
      extra: disk.options,
      timeout: 900,
    });
    captured(run, panic);
    check(run, () => {
      const told = serialLines(run.serial).filter((line) => line.startsWith('saveoops: '));
      expect(told).toContainEqual(
        expect.stringMatching(/^saveoops: vmcore-dmesg: Failed to malloc \d+ bytes/),
      );
      expect(told).toContainEqual(
        expect.stringMatching(/^saveoops: read-log exit status 0, \d+ bytes of log/),
      );
      const [name = ''] = disk.names('saveoops');
      const log = disk.text(`saveoops/${name}/dmesg.txt`);
      const numbers = [...log.matchAll(/^\[ *\d+\.\d{6}\] line (\d+) x+$/gm)].map(([, number]) =>
        Number(number),
      );
      expect(numbers).toEqual(Array.from({ length: lines }, (_, index) => index));
      expect(log).toMatch(/^\[ +0\.000000\] Linux version /);
      expect(log).toContain(panic);
      const capture = JSON.parse(disk.text(`saveoops/${name}/capture.json`)) as Record<string, unknown>;
      expect(capture).toMatchObject({ kind: 'panic', message: panic, failures: [] });
    });
  },
  1_000_000,
);
