/**
 * What the last screen's QR code holds of a log: of every recorded death its message, its place, its process and all of its call
 * trace. Run by busybox, with the program that the initramfs carries.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { makeReport, type ReportedDeath } from '../report/report.js';
import { spread } from '../testkit/lanes.js';
import { deathLogs } from '../testkit/death-logs.js';
import { scriptFolder } from './scripts.js';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'saveoops-qr-'));
  execFileSync('busybox', ['--install', '-s', folder]);
});
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

const programs = fileURLToPath(new URL('../../programs', import.meta.url));

/** The log that fits into the code, as `choose` chooses it; `words` of the last screen. */
function lastScreen(log: string, choose = 'qr_text'): { readonly text: string; readonly words: string } {
  const state = join(folder, 'state');
  mkdirSync(state, { recursive: true });
  writeFileSync(join(state, 'log'), log);
  writeFileSync(join(state, 'outcome'), 'saved on /dev/sda1\n');
  const libraries = ['constants', 'diagnose', 'dead-release', 'qr-text', 'plain-words'];
  const words = execFileSync(
    join(folder, 'sh'),
    [
      '-c',
      [
        `state=${state} log=${state}/log after=reboot hold=10`,
        ...libraries.map((name) => `. ${scriptFolder}lib/saveoops/${name}.sh`),
        'diagnose; echo $kind >$state/kind; echo "$message" >$state/message',
        `${choose} && find_death && plain_words`,
      ].join('\n'),
    ],
    { encoding: 'utf8', env: { PATH: `${folder}:${programs}`, LC_ALL: 'C' } },
  );
  return { text: readFileSync(join(state, 'qr-text'), 'utf8'), words };
}

const causeIn = (log: string): ReportedDeath | null =>
  makeReport({ where: '', log, cut: true, capture: undefined }).report.cause;

function essence(death: ReportedDeath | null): unknown {
  if (death === null) return null;
  const { kind, headline, message, comm, pid, cpu, at, trace } = death;
  return { kind, headline, message, comm, pid, cpu, at, trace: trace.filter(({ sure }) => sure) };
}

/** Without the one whose cause comes so long before the end that no code reaches back to it. */
const logs = deathLogs().filter(
  ({ release, name }) => /^(?:6\.1|7\.2)\./.test(release) && name !== 'initramfs-damaged',
);

describe('the QR code', () => {
  test.each(spread(8, logs).map((log) => [`${log.release} ${log.name}`, log.text] as const))(
    'of %s has all of its death',
    (_, log) => {
      const { text, words } = lastScreen(log);
      const cause = causeIn(log);
      expect(essence(causeIn(text))).toEqual(essence(cause));
      expect(log).toContain(text.split('\n')[0]);
      expect(words).toMatch(/^Linux \S+ died \d+\.\d s after its start\.\n/);
      expect(words.split('\n')).toContain('Saved on /dev/sda1');
      expect(words.split('\n')).toContain('The machine restarts in 10 seconds.');
    },
  );

  test.each([
    ['no-root', /^Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block/],
    ['no-working-init', /^Kernel panic - not syncing: No working init found\./],
    ['general-protection-fault', /^general protection fault, probably for non-canonical address /],
    ['refcount', /^refcount_t: underflow; use-after-free\./],
    // Of no message: its end.
    ['early-exception', /^RIP: 0010:0xf/m],
  ])('of half blocks on a text screen has how the death begins: %s', (name, begins) => {
    const log = logs.find((each) => each.name === name && each.release.startsWith('6.1.'))?.text ?? '';
    const { text } = lastScreen(log, 'code_version=6 && qr_start');
    expect(text).toMatch(begins);
    for (const line of text.trimEnd().split('\n')) expect(log).toContain(line);
    if (name === 'no-root') expect(causeIn(text)?.message).toBe(causeIn(log)?.message);
  });

  test('is never larger than the screen has room for, and holds the end of a log that tells nothing', () => {
    const noise = Array.from(
      { length: 300 },
      (_, i) => `[${i}.000000] ${'x'.repeat((i * 7919) % 90)} ${i * 7919}`,
    );
    const { text } = lastScreen(`${noise.join('\n')}\n`);
    const shown = text.trimEnd().split('\n');
    expect(shown.length).toBeGreaterThan(20);
    expect(shown).toEqual(noise.slice(-shown.length));
  });
});
