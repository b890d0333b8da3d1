/** What reaches a terminal, and what happens when nobody takes it. The command line as a user starts it. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from '@jest/globals';
import { exitCodeOf } from '../errors.js';
import { deathLogs } from '../testkit/death-logs.js';
import { writeElf } from '../testkit/elf-writer.js';

const cli = fileURLToPath(new URL('../cli.js', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'saveoops-output-'));
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

/** A shell line in which `saveoops` is the command. */
const shell = (line: string): { status: number | null; stdout: string; stderr: string } =>
  spawnSync('bash', ['-c', `saveoops() { '${process.execPath}' '${cli}' "$@"; }; ${line}`], {
    cwd: folder,
    encoding: 'utf8',
  });

describe('standard output', () => {
  const log = deathLogs()[0]?.path ?? '';

  test.each([
    ['help, to a reader that is gone', 'saveoops --help'],
    ['a report, to a reader that is gone', `saveoops report '${log}'`],
  ])('%s: no error, and the exit code of the work', (_, command) => {
    // The reader closes its end before the program has started.
    const run = shell(
      `{ read -r go <wait; ${command}; echo $? >status; } | { exec <&-; echo >wait; }; cat status`.replace(
        /^/,
        'rm -f wait; mkfifo wait; ',
      ),
    );
    expect([run.stderr, run.stdout.trim()]).toEqual(['', '0']);
  });

  test('on a full disk: a typed error', () => {
    const { status, stderr } = shell(`saveoops report '${log}' >/dev/full`);
    expect(status).toBe(exitCodeOf.file);
    expect(stderr).toMatch(/^saveoops: cannot use standard output\n {2}where: .*\n {2}found: {2}ENOSPC/);
    expect(stderr).not.toMatch(/^\s+at |node:/m);
  });

  test('standard error that nobody reads ends nothing', () => {
    expect(shell('saveoops report missing 2>/dev/full').status).toBe(exitCodeOf.file);
  });
});

describe('a terminal', () => {
  const attack = '\x1b]0;title\x07\x9b31m\u202e';
  const acting = /(?![\n])[\p{Cc}\p{Cf}]/u;

  test('is not reached by names of files and of sections', () => {
    writeFileSync(join(folder, 'hostile.c32'), writeElf([{ name: `.${attack}`, bytes: new Uint8Array(4) }]));
    for (const args of [
      ['inspect', 'hostile.c32'],
      ['inspect', `${attack}\n  do:     run this`],
      ['build', '--no-config', '--out', 'out', '--kernel', attack],
      [attack],
    ]) {
      const run = spawnSync(process.execPath, [cli, ...args], { cwd: folder, encoding: 'utf8' });
      expect(run.status).toBeGreaterThan(63);
      expect(run.stderr).toContain('\\x1b]0;title\\x07');
      expect(run.stderr).not.toMatch(acting);
      // Nor can they pretend to be a line of ours.
      expect(run.stderr).not.toMatch(/^ {2}do: {5}run this/m);
    }
  });
});
