/** What the benchmarks share: inputs that are the same every time, processes by the clock, medians. */
import { spawnSync } from 'node:child_process';
import { createCipheriv } from 'node:crypto';
import { statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { repository } from '../harness/folders.js';

export const MiB = 1 << 20;
export const cli = join(repository, 'dist/src/cli.js');

/** Runs a program to its end; seconds. Throws with what it said when it fails. */
export function timed(program: string, args: readonly string[]): number {
  const started = performance.now();
  const { status, stderr } = spawnSync(program, args, {
    encoding: 'utf8',
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  if (status !== 0) throw new Error(`${args.join(' ')}: ${stderr}`);
  return (performance.now() - started) / 1000;
}

/** `saveoops build` of a kernel and an initrd; seconds. */
export function buildPayload(
  kernel: string,
  initrd: string,
  out: string,
  more: readonly string[] = [],
): number {
  const files = ['--kernel', kernel, '--initrd', initrd, '--out', out];
  return timed(process.execPath, [cli, 'build', '--no-config', ...files, ...more]);
}

export function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1] ?? NaN;
}

export const sizeOf = (path: string): number => statSync(path).size;

/** Seeded: the same bytes every time; AES of zeroes, which nothing compresses. */
export function randomFile(path: string, size: number): string {
  const cipher = createCipheriv('aes-128-ctr', Buffer.from('saveoops bench 1'), Buffer.alloc(16));
  writeFileSync(path, cipher.update(Buffer.alloc(size)));
  return path;
}
