/** `saveoops test` on folders that hold no working payload: its wrong ends. qemu-tests/ has the right ones. */
import { existsSync, readdirSync } from 'node:fs';
import { copyFile, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { withTemporaryFolder } from '../host/files.js';
import { checkOutput } from '../testkit/output-schema.js';
import { sampleManifest } from '../testkit/sample-manifest.js';
import { smallKernel } from '../testkit/stock-kernels.js';
import type { TestResult } from '../library/test-payload.js';
import { runTest, type TestOptions } from './test.js';

const minutes = 120_000;

/** A folder like one that build writes, whose entries boot the plain kernel. */
async function withFolder(append: string, use: (dir: string) => Promise<void>): Promise<void> {
  await withTemporaryFolder(async (dir) => {
    const kernel = smallKernel();
    await copyFile(kernel.vmlinuz, join(dir, 'vmlinuz'));
    await writeFile(join(dir, 'saveoops.c32'), 'no module');
    await writeFile(join(dir, 'saveoops.json'), JSON.stringify(sampleManifest));
    const entry = (label: string, file: string): string => `LABEL ${label}\n ${file}\n APPEND ${append}\n`;
    const text = entry('saveoops', 'COM32 saveoops.c32') + entry('saveoops-test', 'LINUX vmlinuz');
    await writeFile(join(dir, 'syslinux.cfg'), `DEFAULT saveoops\n${text}`);
    await use(dir);
  });
}

async function runJson(options: TestOptions): Promise<{ code: number; result: TestResult }> {
  let printed = '';
  const code = await runTest({ ...options, json: true }, { out: (text) => void (printed += text) });
  checkOutput('test', printed);
  return { code, result: JSON.parse(printed) as TestResult };
}

describe('saveoops test', () => {
  test.each([
    ['panic=-1', 'the machine reset after the panic without a capture'],
    ['', 'a kernel halted after its panic, without capture'],
  ])(
    'fails when the kernel panics uncaptured with "%s"; the evidence stays',
    async (append, reason) => {
      await withFolder(append, async (dir) => {
        const { code, result } = await runJson({ dir, cpus: 2 });
        expect(code).toBe(1);
        expect(result).toMatchObject({ outcome: 'failed', panic: 'mount', recovered: null });
        expect(result.reason).toContain(reason);
        // The end alone: this kernel says more than 200 lines.
        expect(result.serial?.primary).toHaveLength(200);
        expect(result.serial?.primary.join('\n')).toContain('VFS: Unable to mount root fs');
        expect(result.serial?.crash).toEqual([]);
        const kept = result.kept ?? '';
        expect(readdirSync(kept)).toEqual(expect.arrayContaining(['disk.img', 'serial.log', 'syslinux.cfg']));
        expect(await readFile(join(kept, 'serial.log'), 'utf8')).toContain('VFS: Unable to mount root fs');
        expect(existsSync(/file=([^ ]*disk\.img)/.exec(result.reproduce)?.[1] ?? '')).toBe(true);
        await rm(kept, { recursive: true });
      });
    },
    minutes,
  );

  test(
    'fails when the payload does not load, says so, and keeps what --keep asks for',
    async () => {
      await withFolder('', async (dir) => {
        const keep = join(dir, 'kept');
        const { code, result } = await runJson({ dir, panic: 'start_kernel', keep });
        expect(code).toBe(1);
        expect(result.reason).toContain('Syslinux fell back to its prompt');
        expect(result.message).toMatch(/^Saveoops test [0-9a-f]{12}$/);
        expect(result.kept).toBe(keep);
      });
    },
    minutes,
  );

  test(
    'is lost when time runs out',
    async () => {
      await withFolder('', async (dir) => {
        const { code, result } = await runJson({ dir, timeout: 1, keep: join(dir, 'kept') });
        expect(code).toBe(2);
        expect(result).toMatchObject({ outcome: 'lost', reason: 'no end within 1 seconds' });
      });
    },
    minutes,
  );

  test('refuses options and folders before any boot', async () => {
    await withFolder('', async (dir) => {
      await expect(runJson({ dir, panic: 'no such' })).rejects.toMatchObject({ kind: 'usage' });
      for (const more of [{ at: 'start_kernel' }, { reset: 'hang', panic: 'start_kernel' }] as const) {
        await expect(runJson({ dir, ...more })).rejects.toMatchObject({ kind: 'usage' });
      }
      await expect(runJson({ dir, reset: 'hang', firmware: 'uefi' })).rejects.toMatchObject({
        kind: 'usage',
      });
      // The sample's payload was built without --after-reset.
      await expect(runJson({ dir, reset: 'button' })).rejects.toMatchObject({ kind: 'usage' });
      await expect(runJson({ dir, cpus: 0 })).rejects.toMatchObject({ kind: 'usage' });
      await expect(runJson({ dir, memory: Number.NaN })).rejects.toMatchObject({ kind: 'usage' });
      await expect(runJson({ dir, panic: 'start_kernl' })).rejects.toMatchObject({
        kind: 'missing-fact',
        found: expect.stringContaining('start_kernel'),
      });
      await writeFile(join(dir, 'syslinux.cfg'), 'LABEL other\n LINUX vmlinuz\n');
      await expect(runJson({ dir })).rejects.toMatchObject({ kind: 'format' });
    });
  });
});
