/**
 * The stock Debian kernels that tests run on: unpacked linux-image packages, one folder each.
 *
 * The folder is SAVEOOPS_KERNEL_DIR, or `.cache/kernels` under the repository root, which the set-up script fills.
 */
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseBzImage } from '../formats/bzimage/parse-bzimage.js';
import { decompressPayload } from '../formats/bzimage/payload.js';
import { parseElf, type Elf } from '../formats/elf/parse-elf.js';

export interface StockKernel {
  /** What Debian calls the flavour: "amd64", "cloud-amd64". */
  readonly flavour: string;
  /** Path of the bzImage. */
  readonly vmlinuz: string;
}

/** This file is compiled to dist/src/testkit/. */
const repository = fileURLToPath(new URL('../../../', import.meta.url));

/** All kernels found, sorted by package name. Throws when there is none. */
export function stockKernels(): StockKernel[] {
  const folder = process.env['SAVEOOPS_KERNEL_DIR'] ?? join(repository, '.cache', 'kernels');
  const packages = existsSync(folder) ? readdirSync(folder).sort() : [];
  const kernels = packages.flatMap((name) => findImages(join(folder, name)));
  if (kernels.length > 0) return kernels;
  throw new Error(
    `no kernels under ${folder}: unpack Debian linux-image packages there (see docs/testing.md), ` +
      'or set SAVEOOPS_KERNEL_DIR to a folder with <package>/boot/vmlinuz-*',
  );
}

/** The one with the least to arm and to boot: for tests to which all kernels are the same. */
export function smallKernel(): StockKernel {
  const kernels = stockKernels();
  const [first] = kernels;
  const small = kernels.find(({ flavour }) => flavour === 'cloud-amd64') ?? first;
  if (small === undefined) throw new Error('no kernel');
  return small;
}

function findImages(unpacked: string): StockKernel[] {
  const boot = join(unpacked, 'boot');
  const modules = join(unpacked, 'usr', 'lib', 'modules');
  const images = [
    ...list(boot)
      .filter((name) => name.startsWith('vmlinuz-'))
      .map((name) => join(boot, name)),
    // Since Linux 7.x Debian ships the image beside the modules.
    ...list(modules)
      .map((name) => join(modules, name, 'vmlinuz'))
      .filter((path) => existsSync(path)),
  ];
  return images.map((vmlinuz) => ({ flavour: flavourOf(basename(unpacked)), vmlinuz }));
}

function list(folder: string): string[] {
  return existsSync(folder) ? readdirSync(folder).sort() : [];
}

/** "cloud-amd64" for linux-image-6.1.0-56-cloud-amd64. */
function flavourOf(packageName: string): string {
  return packageName.replace(/^linux-(image|binary)-\d[^-]*(-\d+)?-/, '');
}

const loaded = new Map<string, Promise<Elf>>();

/** The vmlinux inside a bzImage; decompressed once a process. */
export function loadVmlinux({ vmlinuz }: StockKernel): Promise<Elf> {
  const known = loaded.get(vmlinuz);
  if (known !== undefined) return known;
  const loading = decompressPayload(parseBzImage(readFileSync(vmlinuz), vmlinuz).payload, vmlinuz).then(
    (bytes) => parseElf(bytes, `${vmlinuz}: vmlinux`),
  );
  loaded.set(vmlinuz, loading);
  return loading;
}
