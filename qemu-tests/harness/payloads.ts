/** Payload folders as `saveoops build` writes them, each built once. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { BuildOptions } from '../../src/commands/build.js';
import { stockKernels, type StockKernel } from '../../src/testkit/stock-kernels.js';
import { build } from '../../src/library/build.js';
import { cache, digestOf, digestOfFolder, makeOnce, repository } from './folders.js';

export type Flavour = 'amd64' | 'cloud-amd64';

/** Options of `saveoops build`, and: */
export interface PayloadOptions extends Partial<
  Omit<BuildOptions, 'kernel' | 'initrd' | 'out' | 'format' | 'json'>
> {
  /** As stockKernel() takes it. */
  readonly flavour: string;
  /** Files, guestInitramfs() for one. */
  readonly initrds?: readonly string[];
  /** A flavour, or the path of a bzImage; default: the primary's. */
  readonly crashKernel?: string;
  /** Goes into the folder's name, for a person who looks there. */
  readonly name?: string;
}

/** The stock kernel of a flavour. Throws when it is not there. */
export function stockKernel(flavour: string): StockKernel {
  const kernels = stockKernels();
  const found = kernels.find((kernel) => kernel.flavour === flavour);
  if (found !== undefined) return found;
  throw new Error(`no stock kernel ${flavour}; there are: ${kernels.map((one) => one.flavour).join(', ')}`);
}

/**
 * Builds a payload with the command that ships and gives its folder, under .cache/payloads. The folder's name is a
 * digest of everything that the build reads, Saveoops itself included, so a change of any makes a new one.
 */
export async function payload(options: PayloadOptions): Promise<string> {
  const { flavour, initrds = [], name, ...given } = options;
  const kernel = stockKernel(flavour).vmlinuz;
  const crashKernel =
    given.crashKernel === undefined || existsSync(given.crashKernel)
      ? given.crashKernel
      : stockKernel(given.crashKernel).vmlinuz;
  const inputs = [kernel, crashKernel, given.crashInitrd, ...initrds].filter((path) => path !== undefined);
  const key = digestOf(
    JSON.stringify([given, inputs]),
    ...inputs.map((path) => readFileSync(path)),
    toolDigest(),
  );
  const folder = name === undefined ? key : `${name}-${key}`;
  return await makeOnce(join(cache, 'payloads', folder), async (out) => {
    await build({ ...given, kernel, initrd: initrds, crashKernel, out });
  });
}

let digest: string | undefined;

/** A digest of what `saveoops build` is made of. */
export function toolDigest(): string {
  digest ??= digestOf(
    digestOfFolder(join(repository, 'dist', 'src'), (name) =>
      // The programs of the capture initramfs have no ending, its libraries have .sh.
      /(?<!\.test)\.js$|\.sh$|^[a-z-]+$/.test(name),
    ),
    digestOfFolder(join(repository, 'dist', 'programs'), () => true),
    digestOfFolder(join(repository, 'dist', 'stubs'), (name) => !name.endsWith('.part')),
    digestOfFolder(join(repository, 'syslinux-config'), () => true),
  );
  return digest;
}
