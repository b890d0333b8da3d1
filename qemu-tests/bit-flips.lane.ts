/**
 * Damage in the crash region while the primary runs: `npm run test:flips`, not part of `npm test`. Each flipped bit and each
 * stray write is caught before the crash kernel starts, or changes nothing in the log that comes back. Writes
 * docs/results/bit-flips.md. SAVEOOPS_FLIPS: number of flipped bits, default 50; SAVEOOPS_SEED: default 1.
 */
import { writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { logBegins, logEnds } from '../src/capture-initramfs/markers.js';
import { readManifest } from '../src/image/payload-folder.js';
import type { ScenarioResult } from '../src/machine/scenario.js';
import { serialLines } from '../src/machine/serial-text.js';
import { bandsOf, damages, type Band, type Catcher } from './flips/damage.js';
import { renderFlips, type DamageResult } from './flips/report.js';
import { goOn, snapshotAt, type Snapshot } from './flips/snapshot.js';
import { captured, check, serialConsole } from './harness/boot.js';
import { repository } from './harness/folders.js';
import { guestInitramfs } from './harness/guest.js';
import { payload } from './harness/payloads.js';

const minutes = 60_000;
const message = 'Kernel panic - not syncing: sysrq triggered crash';
const count = Number(process.env['SAVEOOPS_FLIPS'] ?? 50);
const seed = Number(process.env['SAVEOOPS_SEED'] ?? 1);
const endAt = [new RegExp(`${logEnds}\\s*$`), /---\[ end Kernel panic - not syncing: (?!.*Rebooting)/];

const dir = await payload({
  flavour: 'cloud-amd64',
  initrds: [await guestInitramfs('echo c >/proc/sysrq-trigger\n')],
  name: 'flips',
});
const bands: readonly Band[] = bandsOf(await readManifest(dir));
const all = damages(bands, count, seed);
const results: DamageResult[] = [];
let snapshot: Snapshot;
/** The log without damage. */
let wanted: readonly string[];

beforeAll(async () => {
  snapshot = await snapshotAt(
    dir,
    'sysrq_handle_crash',
    { memory: 384, cpus: 2 },
    `${serialConsole} panic=1`,
  );
  const result = await goOn(snapshot, undefined, endAt);
  wanted = withoutChance(captured(result, message));
}, 10 * minutes);

afterAll(async () => {
  if (results.length === all.length) {
    writeFileSync(join(repository, 'docs/results/bit-flips.md'), renderFlips(bands, results, seed));
  }
  await rm(dirname(snapshot.state), { recursive: true, force: true });
});

/** Without times, and what an interrupt that came sooner or later left on the dead kernel's stack ("? function"). */
function withoutChance(log: string): readonly string[] {
  return log
    .split('\n')
    .map((line) => line.replace(/^\[ *\d+\.\d+\] /, ''))
    .filter((line) => !line.startsWith(' ? '));
}

/** What Saveoops said before a panic that went on by itself. */
function catcher(result: ScenarioResult): Catcher | undefined {
  const said = serialLines(result.serial).flatMap((line) => {
    const [, text] = /saveoops: (E\d\d .*)$/.exec(line) ?? [];
    return text === undefined ? [] : [text];
  });
  if (said.length !== 1) return undefined;
  const [, name] = /^E30 not captured, SHA-256 differs: (.*)$/.exec(said[0] ?? '') ?? [];
  if (name === undefined) return said[0]?.startsWith('E32 ') === true ? 'hook' : undefined;
  return name as Catcher;
}

test.each(all.map((damage) => [damage.name, damage] as const))(
  `seed ${seed}, %s`,
  async (_, damage) => {
    let outcome: Catcher | undefined;
    try {
      const result = await goOn(snapshot, damage, endAt);
      check(result, () => {
        if (!result.serial.includes(logBegins)) {
          const by = catcher(result);
          expect(damage.catchers).toContain(by);
          expect(result.serial).toContain(message);
          expect(result.serial).toContain('Rebooting in 1 seconds..');
          expect(result.end).toMatchObject({ kind: 'exit', code: 0 });
          outcome = by;
        } else {
          expect(withoutChance(captured(result, message))).toEqual(wanted);
          expect(damage.catchers).toEqual(['harmless']);
          outcome = 'harmless';
        }
      });
    } finally {
      results.push({ damage, outcome });
    }
  },
  5 * minutes,
);
