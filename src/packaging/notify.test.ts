/** The desktop's notification, by the script that its autostart entry starts; only the desktop's own program is another. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, test } from '@jest/globals';

const root = fileURLToPath(new URL('../../../src/packaging/root/', import.meta.url));
const cli = fileURLToPath(new URL('../cli.js', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'saveoops-notify-'));
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

const program = (name: string, script: string): void => {
  writeFileSync(join(folder, 'bin', name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
};
const captured = (id: string, minutes: number, message: string): void => {
  const time = new Date(Date.now() - minutes * 60_000).toISOString().replace(/[-:]|\.\d+/g, '');
  const path = join(folder, 'captures', `${time}-6.1.0-${id}`);
  mkdirSync(path, { recursive: true });
  writeFileSync(join(path, 'capture.json'), JSON.stringify({ message }));
};
/** What the desktop got: the arguments, one a line. */
const start = (): readonly string[] => {
  writeFileSync(join(folder, 'got'), '');
  const env = { HOME: folder, PATH: `${join(folder, 'bin')}:/usr/bin:/bin` };
  const run = spawnSync(join(root, 'usr/libexec/saveoops-notify'), { env, encoding: 'utf8' });
  expect([run.status, run.stdout, run.stderr]).toEqual([0, '', '']);
  return readFileSync(join(folder, 'got'), 'utf8').split('\n').slice(0, -1);
};

test('one notification for each capture, without markup of the dead kernel', () => {
  mkdirSync(join(folder, 'bin'));
  mkdirSync(join(folder, 'captures'));
  program('saveoops', `exec ${process.execPath} ${cli} "$@" ${join(folder, 'captures')}`);
  program('notify-send', 'exit 1');
  expect(start()).toEqual([]);
  captured('0a0b0c', 20, 'Fatal <b>\\n & \'exception"');
  // No desktop takes it yet: it is told the next time.
  expect(start()).toEqual([]);
  program('notify-send', `printf '%s\\n' "$@" >${join(folder, 'got')}`);
  const [last, title, dashes] = start().slice().reverse();
  expect([dashes, title]).toEqual(['--', 'The last system died']);
  expect(last).toMatch(
    /^Linux 6\.1\.0 died at \S+Z: Fatal &lt;b&gt;\\\\n &amp; 'exception"\. Read: saveoops report 0a0b0c$/,
  );
  expect(start()).toEqual([]);
  captured('0d0e0f', 5, 'Fatal exception');
  expect(start().at(-1)).toContain('0d0e0f');
  expect(start()).toEqual([]);
});

test('the autostart entry names the script', () => {
  const entry = readFileSync(join(root, 'etc/xdg/autostart/saveoops-notify.desktop'), 'utf8');
  expect(entry).toMatch(/^\[Desktop Entry\]\nType=Application\n[^]*^Exec=\/usr\/libexec\/saveoops-notify$/m);
});
