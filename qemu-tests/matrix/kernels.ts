/** The kernels of the matrix: qemu-tests/matrix/kernels.lock, downloaded by scripts/matrix-kernels.sh. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { cache, repository } from '../harness/folders.js';

export interface LockedKernel {
  readonly suite: string;
  /** "5.10", "7.2". */
  readonly series: string;
  /** What Debian calls it: "amd64", "cloud-amd64", "rt-amd64". */
  readonly flavour: string;
  /** uname -r. */
  readonly release: string;
  /** Of the package. */
  readonly version: string;
  /** Path of the bzImage. */
  readonly vmlinuz: string;
  /** Gone from the mirror: this is the newest of its suite. */
  readonly replaced: boolean;
}

/** Throws an Error when a kernel was not downloaded. */
export function lockedKernels(): LockedKernel[] {
  return readFileSync(join(repository, 'qemu-tests', 'matrix', 'kernels.lock'), 'utf8')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => {
      const [suite = '', series = '', flavour = '', locked = ''] = line.split(' ');
      const folder = join(cache, 'matrix', `${suite}-${series}-${flavour}`);
      const [package_ = '', version = ''] = readFileSync(join(folder, 'package'), 'utf8').trim().split(' ');
      const release = package_.replace(/^linux-(image|binary)-/, '');
      const vmlinuz = [
        join(folder, 'boot', `vmlinuz-${release}`),
        join(folder, 'usr/lib/modules', release, 'vmlinuz'),
      ].find((path) => existsSync(path));
      if (vmlinuz === undefined)
        throw new Error(`no kernel image in ${folder}: ${readdirSync(folder).join(' ')}`);
      return { suite, series, flavour, release, version, vmlinuz, replaced: package_ !== locked };
    });
}
