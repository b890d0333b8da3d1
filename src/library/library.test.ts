/** What the library promises beside its results: progress, an early end, and a process left alone. */
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { runTool } from '../host/run-tool.js';
import { asTask, step, type Progress } from '../host/task.js';
import { smallKernel } from '../testkit/stock-kernels.js';
import { build, inspect, readCapture, repack, report, SaveoopsError, testPayload } from './index.js';

const kernel = smallKernel().vmlinuz;
let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'saveoops-library-'));
});
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

describe('a build', () => {
  test('tells its steps and the tools that it has run; a dry one writes nothing', async () => {
    const told: Progress[] = [];
    const out = join(folder, 'built');
    const run = { onProgress: (progress: Progress) => void told.push(progress) };
    const dry = await build({ kernel, out, dryRun: true, keep: undefined as never }, run);
    expect(existsSync(out)).toBe(false);
    const steps = told.flatMap((each) => (each.kind === 'step' ? [each.text] : []));
    expect(steps.length).toBeGreaterThan(2);
    const tools = told.flatMap((each) => (each.kind === 'tool' ? [each.command[0]] : []));
    // The kernel is decompressed, and the capture initramfs is an archive.
    expect(tools).toEqual(expect.arrayContaining(['cpio']));
    const built = await build({ kernel, out });
    expect({ ...dry, dryRun: false }).toEqual(built);
    expect([...built.files].sort()).toEqual(readdirSync(out).sort());
    expect((await inspect(out)).refusal).toBeUndefined();
  }, 300_000);

  test('ends at once when it is aborted, and leaves nothing', async () => {
    const controller = new AbortController();
    const reason = new Error('enough');
    const out = join(folder, 'aborted');
    const onProgress = ({ kind }: Progress): void => {
      if (kind === 'tool') controller.abort(reason);
    };
    await expect(build({ kernel, out }, { signal: controller.signal, onProgress })).rejects.toBe(reason);
    expect(existsSync(out)).toBe(false);
  }, 300_000);
});

test('a repack that is aborted when it begins to write leaves the older payload', async () => {
  const out = join(folder, 'older');
  await build({ kernel, out });
  const before = readFileSync(join(out, 'saveoops.c32'));
  const controller = new AbortController();
  const onProgress = (progress: Progress): void => {
    if (progress.kind === 'step' && progress.text.startsWith('Writing')) controller.abort();
  };
  const request = { payload: join(out, 'saveoops.c32'), out, append: 'other' };
  await expect(repack(request, { signal: controller.signal, onProgress })).rejects.toThrow(/abort/i);
  expect(readFileSync(join(out, 'saveoops.c32')).equals(before)).toBe(true);
  expect(readdirSync(out).filter((name) => name.endsWith('.tmp'))).toEqual([]);
}, 300_000);

describe('a task', () => {
  test('that is aborted ends the tool that it waits for', async () => {
    const controller = new AbortController();
    const waiting = asTask({ signal: controller.signal }, () => runTool('sleep', ['600']));
    controller.abort('stop');
    await expect(waiting).rejects.toBe('stop');
  });

  test('is begun by no signal that was aborted before', async () => {
    await expect(testPayload({ dir: folder }, { signal: AbortSignal.abort('before') })).rejects.toBe(
      'before',
    );
  });

  test('hears of itself only', async () => {
    const told: [string, string][] = [];
    const work = (name: string) =>
      asTask(
        { onProgress: (each) => void told.push([name, each.kind === 'step' ? each.text : '']) },
        async () => {
          step(`${name} 1`);
          await Promise.resolve();
          step(`${name} 2`);
        },
      );
    await Promise.all([work('a'), work('b')]);
    expect(told.length).toBe(4);
    expect(told.filter(([name, text]) => !text.startsWith(name))).toEqual([]);
  });
});

test('refusals are of the typed family', async () => {
  await expect(build({ kernel: join(folder, 'none'), out: folder })).rejects.toBeInstanceOf(SaveoopsError);
  await expect(inspect(kernel)).rejects.toMatchObject({ kind: 'wrong-file' });
});

test('a log is reported without any process', async () => {
  const log = fileURLToPath(new URL('../../../src/report/fixtures/6.1.0-56-amd64/bug.txt', import.meta.url));
  expect(report(await readCapture(log)).cause?.kind).toBe('usercopy');
});

test('nothing that the library is made of prints, ends the process, or asks where it is', () => {
  const sources = fileURLToPath(new URL('../../../src/', import.meta.url));
  const reached = new Set(['library/index.ts']);
  const forbidden: string[] = [];
  for (const name of reached) {
    const text = readFileSync(join(sources, name), 'utf8');
    // A comment may speak of them.
    const code = text.replace(/\/\*[^]*?\*\/|\/\/.*/g, '');
    const found = /\bconsole\.|process\.(?:exit\b|exitCode|cwd|chdir|stdin|stdout|stderr|argv)/.exec(code);
    if (found !== null) forbidden.push(`${name}: ${found[0]}`);
    for (const [, path] of code.matchAll(/(?:from|import\() ?'(\.[^']*)\.js'/g)) {
      reached.add(join(dirname(name), `${path ?? ''}.ts`));
    }
  }
  expect([...reached]).toEqual(expect.arrayContaining(['host/run-tool.ts', 'payload/build-payload.ts']));
  expect(forbidden).toEqual([]);
});
