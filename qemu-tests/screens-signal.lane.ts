/**
 * `saveoops.signal=`: the sign for a person who sees no screen, part of `npm run test:screens`. QEMU records what its speaker plays
 * and traces what its keyboard is told.
 */
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { bootPayload, captured, check } from './harness/boot.js';
import { payload } from './harness/payloads.js';

const minutes = 60_000;
const vfsPanic = 'Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)';

/** Frames (16 bits, two channels) between two changes of the left channel's sign; what is longer is silence. */
function halfWaves(samples: Buffer): number[] {
  const lengths: number[] = [];
  let since = 0;
  for (let frame = 1; 4 * frame + 4 <= samples.length; frame++) {
    if (Math.sign(samples.readInt16LE(4 * frame)) === Math.sign(samples.readInt16LE(4 * frame - 4))) continue;
    if (frame - since < 100) lengths.push(frame - since);
    since = frame;
  }
  return lengths;
}

describe('saveoops.signal=leds,beep', () => {
  test(
    "lets the keyboard's LEDs blink and the speaker tick until all is printed",
    async () => {
      const folder = await mkdtemp(join(tmpdir(), 'saveoops-signal-'));
      const [sound, leds] = [join(folder, 'speaker.wav'), join(folder, 'leds')];
      const dir = await payload({
        flavour: 'amd64',
        crashAppend: 'saveoops.hold=3 saveoops.signal=leds,beep',
        name: 'signal',
      });
      const extra = [
        ...['-audiodev', `wav,id=speaker,path=${sound}`, '-machine', 'pcspk-audiodev=speaker'],
        ...['-trace', 'ps2_set_ledstate', '-D', leds],
      ];
      const result = await bootPayload(dir, { extra, endAt: [] });
      captured(result, vfsPanic);
      const states = [...readFileSync(leds, 'utf8').matchAll(/ledstate (\d+)/g)].map(([, state]) => state);
      const samples = readFileSync(sound).subarray(44);
      await rm(folder, { recursive: true });
      check(result, () => {
        // All three, several times, and off in the end.
        expect(states.filter((state) => state === '7').length).toBeGreaterThan(2);
        expect(states.at(-1)).toBe('0');
        // 1000 Hz at 44100 frames a second: 22 frames up, 22 down.
        const halves = halfWaves(samples);
        expect(halves.length).toBeGreaterThan(200);
        expect(halves.sort((a, b) => a - b)[halves.length >> 1]).toBe(22);
      });
    },
    8 * minutes,
  );
});
