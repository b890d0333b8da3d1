/** Payload folders as `saveoops build` writes them, each built once. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { runBuild } from '../../src/commands/build.js';
import { stockKernels, type StockKernel } from '../../src/testkit/stock-kernels.js';
import { cache, digestOf, digestOfFolder, makeOnce, repository } from './folders.js';

export type Flavour = 'amd64' | 'cloud-amd64';

export interface PayloadOptions {
  /** As stockKernel() takes it. */
  readonly flavour: string;
  readonly append?: string;
  /** Files, guestInitramfs() for one. */
  readonly initrds?: readonly string[];
  readonly initrdBeside?: boolean;
  readonly crashAppend?: string;
  /** A flavour, or the path of a bzImage; default: the primary's. */
  readonly crashKernel?: string;
  /** The crash kernel's initramfs; default: the built-in one. */
  readonly crashInitrd?: string;
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
  const { append = '', crashAppend = '', initrds = [], initrdBeside = false, crashInitrd } = options;
  const kernel = stockKernel(options.flavour).vmlinuz;
  const crashKernel =
    options.crashKernel === undefined || existsSync(options.crashKernel)
      ? options.crashKernel
      : stockKernel(options.crashKernel).vmlinuz;
  const inputs = [kernel, ...[crashKernel, crashInitrd].filter((path) => path !== undefined), ...initrds];
  const key = digestOf(
    JSON.stringify({ append, crashAppend, initrdBeside, inputs }),
    ...inputs.map((path) => readFileSync(path)),
    tool(),
  );
  const name = options.name === undefined ? key : `${options.name}-${key}`;
  return await makeOnce(join(cache, 'payloads', name), async (out) => {
    await runBuild(
      {
        kernel,
        initrd: initrds,
        initrdBeside,
        append,
        crashKernel,
        crashInitrd,
        crashAppend,
        crashSize: undefined,
        out,
        format: 'com32',
        json: false,
      },
      { out: () => undefined },
    );
  });
}

let toolDigest: string | undefined;

/** A digest of what `saveoops build` is made of. */
function tool(): string {
  toolDigest ??= digestOf(
    digestOfFolder(join(repository, 'dist', 'src'), (name) => /(?<!\.test)\.js$/.test(name)),
    digestOfFolder(join(repository, 'dist', 'stubs'), (name) => !name.endsWith('.part')),
    digestOfFolder(join(repository, 'syslinux-config'), () => true),
  );
  return toolDigest;
}
