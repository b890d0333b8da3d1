/** The kernels of the matrix: .cache/matrix/list, which scripts/matrix-kernels.sh has chosen and downloaded. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { cache } from '../harness/folders.js';

export interface MatrixKernel {
  /** Where the mirror has it. */
  readonly suite: string;
  /** "5.10", "7.2". */
  readonly series: string;
  /** What Debian calls it: "amd64", "cloud-amd64", "rt-amd64". */
  readonly flavour: string;
  /** uname -r. */
  readonly release: string;
  /** Of the package. */
  readonly version: string;
  /** `newest` of its Debian release, series and flavour; `kept` and `gone` are of kernels.lock. There is no image of what is gone. */
  readonly kind: 'newest' | 'kept' | 'gone';
  /** Path of the bzImage. */
  readonly vmlinuz: string;
}

/** In the order of their versions. Throws an Error when nothing was downloaded. */
export function matrixKernels(): readonly MatrixKernel[] {
  const folder = join(cache, 'matrix');
  const lines = readFileSync(join(folder, 'list'), 'utf8').trimEnd().split('\n');
  return lines.map((line) => {
    const [suite = '', series = '', flavour = '', name = '', version = '', kind] = line.split(' ');
    if (kind !== 'newest' && kind !== 'kept' && kind !== 'gone') throw new Error(`in the list: ${line}`);
    const release = name.replace(/^linux-(image|binary)-/, '');
    const vmlinuz = join(folder, 'kernels', `${name}_${version}`, 'vmlinuz');
    return { suite, series, flavour, release, version, kind, vmlinuz };
  });
}
