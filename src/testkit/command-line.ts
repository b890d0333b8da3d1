/** The command line as a user starts it: for tests of results, not of modules. Jest slows parsing, this does not. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Manifest } from '../payload/manifest.js';
import { checkOutput } from './output-schema.js';

/** The program that they start. */
export const cli = fileURLToPath(new URL('../cli.js', import.meta.url));

export interface CommandResult {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Runs `saveoops args...`; a failure is a result, not an exception. What --json prints is held against its schema. @param input standard input; default: none
 */
export function runSaveoops(args: readonly string[], cwd?: string, input?: Uint8Array): CommandResult {
  const { status, stdout, stderr } = spawnSync(process.execPath, [cli, ...args], {
    encoding: 'utf8',
    maxBuffer: 1 << 26,
    ...(cwd === undefined ? {} : { cwd }),
    ...(input === undefined ? {} : { input }),
  });
  if (args.includes('--json') && stdout.startsWith('{')) checkOutput(args[0] ?? '', stdout);
  return { status, stdout, stderr };
}

export interface BuiltPayload {
  readonly file: string;
  readonly bytes: Buffer;
  readonly manifest: Manifest;
}

/** `saveoops build --no-config --kernel K --out folder args...`. Throws an Error with its messages when it fails. */
export function buildInto(folder: string, kernel: string, args: readonly string[] = []): BuiltPayload {
  const { status, stderr } = runSaveoops([
    'build',
    '--no-config',
    '--kernel',
    kernel,
    '--out',
    folder,
    ...args,
  ]);
  if (status !== 0) throw new Error(`saveoops build: ${stderr}`);
  const file = join(folder, 'saveoops.c32');
  const manifest = JSON.parse(readFileSync(join(folder, 'saveoops.json'), 'utf8')) as Manifest;
  return { file, bytes: readFileSync(file), manifest };
}

/** Standard output of a host tool that serves as oracle. Throws when it fails. */
export function oracle(tool: string, args: readonly string[], input?: Uint8Array): string {
  const run = spawnSync(tool, [...args], {
    encoding: 'utf8',
    maxBuffer: 1 << 28,
    env: { ...process.env, LC_ALL: 'C' },
    ...(input === undefined ? {} : { input }),
  });
  if (run.status === 0) return run.stdout;
  throw new Error(`${tool} ${args.join(' ')}: ${run.error?.message ?? run.stderr}`);
}
