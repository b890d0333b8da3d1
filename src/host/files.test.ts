/** Files that are read while they change, and that are written by a run that is killed, has no room, or is not alone. */
import { spawn, spawnSync, type SpawnSyncReturns } from 'node:child_process';
import { once } from 'node:events';
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeEach, describe, expect, test } from '@jest/globals';
import { exitCodeOf } from '../errors.js';
import { canTrace } from '../testkit/tracing.js';
import { makeFolder, readInput, writeAtomic } from './files.js';

const writer = fileURLToPath(new URL('../testkit/write-once.js', import.meta.url));
const root = mkdtempSync(join(tmpdir(), 'saveoops-files-'));
afterAll(() => {
  rmSync(root, { recursive: true, force: true });
});

const folder = join(root, 'out');
const names = ['a', 'b', 'c'];
const whole = (text: string): string => text.repeat(60_000);
const content = (name: string): string => {
  const found = readFileSync(join(folder, name), 'latin1');
  return (
    ['old', 'new', 'other'].find((text) => found === whole(text)) ?? `${found.length} bytes of something`
  );
};
const contents = (): string[] => names.map(content);
const temporary = (): string[] => readdirSync(folder).filter((name) => !names.includes(name));
const write = (text: string): SpawnSyncReturns<string> =>
  spawnSync(process.execPath, [writer, folder, text], { encoding: 'utf8' });

beforeEach(() => {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder);
  for (const name of names) writeFileSync(join(folder, name), whole('old'));
});

/** strace counts the calls of each thread by itself: one thread for all. */
const env = { ...process.env, UV_THREADPOOL_SIZE: '1' };
const traced = (calls: string, what: string, ...command: readonly string[]): string[] => [
  ...['-f', '-qq', '-o', '/dev/null', '-e', `trace=${calls}`, '-e', `inject=${calls}:${what}`],
  ...[process.execPath, ...command],
];
const describeTraced = canTrace ? describe : describe.skip;

describeTraced('writing together (skipped where strace may not trace)', () => {
  test('killed at each change of a file: every file is whole, none is new before all are on the disk', () => {
    const seen = new Set<string>();
    // strace counts each kind of call by itself.
    for (const call of ['fsync', 'rename', 'unlink']) {
      for (let n = 1; ; n++) {
        for (const name of names) writeFileSync(join(folder, name), whole('old'));
        const args = traced(call, `signal=SIGKILL:when=${n}`, writer, folder, 'new');
        const run = spawnSync('strace', args, { env });
        seen.add(contents().join(' '));
        if (run.status === 0) break;
        expect([run.signal, n < 20]).toEqual(['SIGKILL', true]);
      }
    }
    expect([...seen].sort()).toEqual(['new new new', 'new new old', 'new old old', 'old old old']);
    // What so many killed runs have left is there until the next run.
    expect(temporary()).toEqual([]);
  });

  test('what a killed run leaves goes with the next one; what is not ours, or of a run that goes on, stays', () => {
    const others = ['.saveoops-x.tmp', `.saveoops-${process.pid}-a1.tmp`, 'notes'];
    for (const name of others) writeFileSync(join(folder, name), '');
    expect(
      spawnSync('strace', traced('fsync', 'signal=SIGKILL:when=2', writer, folder, 'new'), { env }).signal,
    ).toBe('SIGKILL');
    expect(temporary().length).toBe(others.length + names.length);
    expect(write('new').status).toBe(0);
    expect(temporary().sort()).toEqual(others.sort());
  });

  test.each([
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ])('%s leaves nothing', (signal, status) => {
    const cli = fileURLToPath(new URL('../cli.js', import.meta.url));
    const log = join(root, 'log');
    writeFileSync(log, '[    0.000000] Linux version 6.1.0 (a@b)\n');
    const command = [cli, 'report', log, '--html', join(folder, 'a')];
    const run = spawnSync('strace', traced('fsync', `signal=${signal}:when=1`, ...command), { env });
    expect([run.status, temporary(), content('a')]).toEqual([status, [], 'old']);
  });

  test.each(['ENOSPC', 'EIO', 'EROFS'])('%s at any step: a typed error, nothing left', (error) => {
    for (const calls of ['fsync', 'rename', 'pwrite64']) {
      const run = spawnSync('strace', traced(calls, `error=${error}:when=1`, writer, folder, 'new'), {
        env,
        encoding: 'utf8',
      });
      // Node may have written through another call.
      if (run.status === 0) continue;
      expect([calls, run.status, temporary(), contents()]).toEqual([
        calls,
        exitCodeOf.file,
        [],
        ['old', 'old', 'old'],
      ]);
      expect(run.stderr).toMatch(new RegExp(`^saveoops: cannot use .*\\n.*\\n {2}found: {2}${error}`));
    }
  });

  test('two runs at once: the one that finds files of the other says so', async () => {
    const stopped = spawn('strace', traced('rename', 'signal=SIGSTOP:when=2', writer, folder, 'new'), {
      env,
    });
    const [line] = (await once(stopped.stdout, 'data')) as [Buffer];
    let said = '';
    stopped.stderr.on('data', (data: Buffer) => (said += data.toString()));
    // It stops once it has renamed its second file: its third has not got its name yet.
    while (content('b') !== 'new') await new Promise((resolve) => setTimeout(resolve, 20));
    expect(write('other').status).toBe(0);
    expect(contents()).toEqual(['other', 'other', 'other']);
    process.kill(Number(line.toString()), 'SIGCONT');
    const [status] = (await once(stopped, 'close')) as [number];
    expect([status, said]).toEqual([exitCodeOf.file, expect.stringContaining('another run has written')]);
    expect([contents(), temporary()]).toEqual([['other', 'other', 'new'], []]);
  });
});

describe('writing', () => {
  test('more than a file may be large (ulimit -f): a typed error, and everything as it was', () => {
    const run = spawnSync(
      'bash',
      ['-c', `ulimit -f 100; exec '${process.execPath}' "$@"`, '', writer, folder, 'new'],
      {
        encoding: 'utf8',
      },
    );
    expect([run.status, run.stderr]).toEqual([exitCodeOf.file, expect.stringContaining('EFBIG')]);
    expect([contents(), temporary()]).toEqual([['old', 'old', 'old'], []]);
  });

  test('where a directory has one of the names: nothing is renamed', () => {
    rmSync(join(folder, 'c'));
    mkdirSync(join(folder, 'c'));
    const { status, stderr } = write('new');
    expect([status, stderr]).toEqual([exitCodeOf.file, expect.stringContaining('a directory of that name')]);
    expect([content('a'), content('b'), temporary()]).toEqual(['old', 'old', []]);
  });

  test('with a mode: from the start, and over a file of another mode', async () => {
    await writeAtomic(join(folder, 'a'), [Buffer.from('x')], 0o600);
    expect(statSync(join(folder, 'a')).mode & 0o777).toBe(0o600);
  });
});

describe('reading', () => {
  const path = join(root, 'input');
  const large = 64 << 20;
  const past = new Date(Date.now() - 60_000);

  test.each([
    ['grows', (): void => appendFileSync(path, 'x')],
    ['is cut off', (): void => truncateSync(path, large - 1)],
    ['is rewritten with the same size', (): void => writeFileSync(path, 'y', { flag: 'r+' })],
  ])('a file that %s meanwhile: refused', async (_, change) => {
    writeFileSync(path, '');
    truncateSync(path, large);
    utimesSync(path, past, past);
    let done = false;
    const read = readInput(path, 'x').finally(() => {
      done = true;
    });
    // One change on each turn of the event loop: some come before the first read, some while it goes on.
    const refused = expect(read).rejects.toMatchObject({
      kind: 'file',
      message: expect.stringContaining('was changed while it was read'),
    });
    while (!done) {
      change();
      await new Promise((resolve) => setImmediate(resolve));
    }
    await refused;
  });

  test('a file that is replaced meanwhile is read as it was: its bytes belong together', async () => {
    writeFileSync(path, whole('old'));
    const read = readInput(path, 'x');
    await writeAtomic(path, [Buffer.from('new')]);
    expect(['new', whole('old')]).toContain(Buffer.from(await read).toString());
  });

  test.each([
    ['a directory', root],
    ['a special file', '/dev/null'],
    ['EIO', '/proc/self/mem'],
    ['ENOENT', join(root, 'nowhere')],
    ['ENOTDIR', join(root, 'input', 'x')],
  ])('%s: a typed error', async (found, name) => {
    writeFileSync(path, '');
    await expect(readInput(name, 'x')).rejects.toMatchObject({
      kind: 'file',
      found: expect.stringContaining(found),
    });
  });

  test('a named pipe that nobody writes to keeps nobody waiting', async () => {
    const pipe = join(root, 'pipe');
    expect(spawnSync('mkfifo', [pipe]).status).toBe(0);
    await expect(readInput(pipe, 'x')).rejects.toMatchObject({ found: 'a special file' });
    expect(existsSync(pipe)).toBe(true);
  });
});

describe('makeFolder', () => {
  const at = (name: string): string => join(folder, name);

  test('makes what is missing, and takes what is there', async () => {
    for (let run = 0; run < 2; run++) await makeFolder(at('x/y/z'));
    expect(statSync(at('x/y/z')).isDirectory()).toBe(true);
    rmSync(at('x'), { recursive: true });
  });

  test('two at once make the same folder', async () => {
    await Promise.all([makeFolder(at('x/y/z')), makeFolder(at('x/y/z'))]);
    expect(statSync(at('x/y/z')).isDirectory()).toBe(true);
    rmSync(at('x'), { recursive: true });
  });

  test.each([
    ['a place where mkdir() answers ENOENT', () => '/proc/saveoops/x', /ENOENT/],
    ['a file', () => at('a'), /EEXIST/],
    ['a folder in a file', () => at('a/b/c'), /ENOTDIR/],
  ])('%s: an error, and no endless loop', async (_, path, pattern) => {
    await expect(makeFolder(path())).rejects.toMatchObject({
      kind: 'file',
      found: expect.stringMatching(pattern),
    });
  });
});
