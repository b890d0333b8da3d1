/** The kernels of the built lane: qemu-tests/built/variants, built by scripts/built-kernels.sh. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { cache, repository } from '../harness/folders.js';

/** What comes of a payload: captured, or the error that `saveoops build` ends with, and an option that it names. */
export type Expected = 'captured' | { readonly kind: string; readonly names: string };

export interface Variant {
  readonly name: string;
  /** With each crash kernel that it is run with: itself or the kernel "base". */
  readonly crash: readonly { readonly kernel: 'itself' | 'base'; readonly expected: Expected }[];
  /** Paths. vmlinux has symbols and no debug information. */
  readonly bzImage: string;
  readonly vmlinux: string;
}

const folderOf = (name: string): string => join(cache, 'built', 'kernels', name);
export const bzImageOf = (name: string): string => join(folderOf(name), 'bzImage');

/** Those that are built. The script that builds them ends with an error when one cannot be. */
export function builtVariants(): Variant[] {
  return readFileSync(join(repository, 'qemu-tests', 'built', 'variants'), 'utf8')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => {
      const [name = '', , own = '', base = ''] = line.split(' ');
      const crash = [...expectation('itself', own), ...expectation('base', base)];
      return { name, crash, bzImage: bzImageOf(name), vmlinux: join(folderOf(name), 'vmlinux') };
    })
    .filter(({ bzImage }) => existsSync(bzImage));
}

function expectation(kernel: 'itself' | 'base', text: string): Variant['crash'] {
  if (text === '-') return [];
  const [kind = '', names = ''] = text.split(':');
  return [{ kernel, expected: text === 'captured' ? text : { kind, names } }];
}

/** Whether the configuration that the kernel was built from has the option; a module counts as not. */
export function hasOption({ name }: Variant, option: string): boolean {
  return readFileSync(join(folderOf(name), 'config'), 'utf8')
    .split('\n')
    .includes(`CONFIG_${option}=y`);
}
