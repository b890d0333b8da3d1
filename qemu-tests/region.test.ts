/**
 * The size that `saveoops build` reserves by default is enough: for drivers of every kind, the largest file system and a
 * filtered dump, and whatever RAM the machine has. `npm run test:all`: both kernels, and 64 GiB.
 */
import { afterAll, describe, expect, test } from '@jest/globals';
import { readManifest } from '../src/image/payload-folder.js';
import { few } from '../src/testkit/lanes.js';
import { crashingGuest } from './dump-at.js';
import { bootPayload, check } from './harness/boot.js';
import { ManyDisks } from './harness/many-disks.js';
import { payload, type Flavour } from './harness/payloads.js';
import { heavyCapture, heavyOutcome } from './region/heavy-capture.js';

const MiB = 1 << 20;
const disks = new ManyDisks();
afterAll(() => {
  disks.remove();
});

/** @param most MiB; of 6.1 amd64 kdump's default on Debian 12 */
const lane = (flavour: Flavour, memory: number, most: number) => ({ flavour, memory, most });
const lanes = [
  lane('amd64', 512, 128),
  lane('amd64', 8192, 128),
  lane('cloud-amd64', 512, 114),
  lane('cloud-amd64', 8192, 114),
  lane('amd64', 65536, 128),
];
/** The host need not have what the guest does not touch. */
const ram = (memory: number): readonly string[] => [
  ...['-object', `memory-backend-ram,id=ram,size=${memory}M,reserve=off`],
  ...['-machine', 'memory-backend=ram'],
];

describe('the default crash region', () => {
  test.each(few(1, lanes))(
    '$flavour with $memory MiB of RAM: at most $most MiB, and a heavy capture fits',
    async ({ flavour, memory, most }) => {
      const { size } = (await readManifest(await payload({ flavour, dump: 'filtered' }))).memory;
      expect(size).toBeLessThanOrEqual(most * MiB);
      const dir = await payload({
        flavour,
        initrds: [await crashingGuest()],
        append: 'sysrq_always_enabled',
        crashInitrd: await heavyCapture(flavour),
        crashSize: String(size),
        name: 'region',
      });
      const extra = [...disks.options, '-device', 'i6300esb', ...ram(memory)];
      const run = await bootPayload(dir, { memory, endAt: [], extra, timeout: memory > 8192 ? 900 : 240 });
      check(run, () => {
        const { saved, available = 0, lines } = heavyOutcome(run);
        expect([saved, lines]).toEqual([true, lines]);
        // What is left is room for what this machine does not have.
        expect(available).toBeGreaterThan(8 * 1024);
      });
    },
    1_000_000,
  );
});
