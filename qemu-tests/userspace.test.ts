/** A crash in a system that is fully up: sysrq-c, from each CPU, in kernels of both flavours. */
import { describe, expect, test } from '@jest/globals';
import { few } from '../src/testkit/lanes.js';
import { bootPayload, captured, check } from './harness/boot.js';
import { guestInitramfs } from './harness/guest.js';
import { payload, type Flavour } from './harness/payloads.js';

const minutes = 60_000;
const mark = 'saveoops test: written to kmsg before the crash';

/** `cpu`: the one that crashes. */
async function crashingGuest(cpu: number): Promise<string> {
  return await guestInitramfs(`
echo "${mark}, \$(nproc) CPUs" >/dev/kmsg
exec taskset -c ${cpu} sh -c 'echo c >/proc/sysrq-trigger'
`);
}

describe('sysrq-c from userspace is captured', () => {
  const cases: { flavour: Flavour; cpus: number; crashOn: number }[] = [
    { flavour: 'amd64', cpus: 2, crashOn: 1 },
    { flavour: 'cloud-amd64', cpus: 2, crashOn: 0 },
    { flavour: 'amd64', cpus: 1, crashOn: 0 },
  ];
  test.each(few(1, cases))(
    '$flavour, on CPU $crashOn of $cpus',
    async ({ flavour, cpus, crashOn }) => {
      const guest = await crashingGuest(crashOn);
      const dir = await payload({ flavour, initrds: [guest], append: 'sysrq_always_enabled', name: flavour });
      const run = await bootPayload(dir, { cpus });
      const log = captured(run, 'Kernel panic - not syncing: sysrq triggered crash');
      check(run, () => {
        expect(log).toContain(`${mark}, ${cpus} CPUs`);
        expect(log).toContain('sysrq: Trigger a crash');
        expect(log).toMatch(new RegExp(`CPU: ${crashOn} (UID: 0 )?PID: \\d+ Comm: `));
      });
    },
    4 * minutes,
  );
});
