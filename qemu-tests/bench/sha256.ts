/**
 * The crash stub's two SHA-256 on this machine, whose CPU TCG cannot be: the very objects, in a program of the host (stubs/host/sha256.c), over
 * as much as a stock kernel and a capture initramfs are. Nothing without the SHA extensions.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { repository } from '../harness/folders.js';
import type { Figure } from './figures.js';
import { median, MiB, randomFile } from './timed.js';

const size = 16 * MiB;
const runs = 9;

export function benchSha256(_: string, folder: string): readonly Figure[] {
  if (!/^flags.*\bsha_ni\b/m.test(readFileSync('/proc/cpuinfo', 'utf8'))) return [];
  const program = join(repository, 'dist/stubs/sha256');
  execFileSync('make', [
    '-s',
    '-C',
    join(repository, 'stubs'),
    `OUT=${join(repository, 'dist/stubs')}`,
    program,
  ]);
  const input = readFileSync(randomFile(join(folder, 'data'), size));
  const milliseconds = (way: string): number => {
    const sizes = Array<string>(runs).fill(String(size));
    const lines = execFileSync(program, [way, ...sizes], { input, encoding: 'utf8' })
      .trim()
      .split('\n');
    return median(lines.map((line) => Number(line.split(' ')[1]))) / 1e6;
  };
  return [
    {
      what: `SHA-256 of ${size / MiB} MiB by the SHA extensions, on this machine, median of ${runs}`,
      own: milliseconds('sha-ni'),
      anchor: 'in C',
      anchored: milliseconds('plain'),
      unit: 'ms',
    },
  ];
}
