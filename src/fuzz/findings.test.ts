/** What the fuzzer has found stays fixed; and the fuzzer finds what is there to be found. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from '@jest/globals';
import { SaveoopsError } from '../errors.js';
import { everyLane } from '../testkit/lanes.js';
import { fuzzTarget } from './fuzz-target.js';
import { targets } from './targets.js';

const folder = fileURLToPath(new URL('../../../src/fuzz/findings/', import.meta.url));

describe.each(targets)('$name', ({ name, seeds, run }) => {
  test('takes its seeds', async () => {
    expect(seeds.length).toBeGreaterThan(0);
    for (const seed of seeds) await run(seed);
  });

  const files = existsSync(join(folder, name)) ? readdirSync(join(folder, name)) : [];
  for (const file of files) {
    test(`finding ${file}`, async () => {
      const input = readFileSync(join(folder, name, file));
      const before = process.memoryUsage().arrayBuffers;
      try {
        await run(input);
      } catch (error) {
        expect(error).toBeInstanceOf(SaveoopsError);
      }
      expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(64 << 20);
    });
  }

  const milliseconds = everyLane ? 1000 : 300;
  test(`${milliseconds} ms of fuzzing find nothing new`, async () => {
    const result = await fuzzTarget(name, 1, milliseconds);
    expect(result.findings.map(({ what }) => what)).toEqual([]);
    // A batch of inputs, for which a busy machine may take all the time.
    expect(result.count).toBeGreaterThanOrEqual(64);
  }, 60_000);
});
