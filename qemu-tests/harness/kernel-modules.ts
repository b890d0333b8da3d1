/** Modules of a stock kernel for a guest that loads them itself, without modprobe and its index. */
import { readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { parseElf } from '../../src/formats/elf/parse-elf.js';
import type { GuestFile } from './guest.js';
import { stockKernel, type Flavour } from './payloads.js';

/** `name` and all that it needs, what is needed first. Throws when the package has no such module. */
export function modulesOf(flavour: Flavour, name: string): readonly GuestFile[] {
  const { vmlinuz } = stockKernel(flavour);
  const release = basename(vmlinuz).slice('vmlinuz-'.length);
  const folder = join(dirname(vmlinuz), '..', 'lib', 'modules', release);
  const paths = readFileSync(join(folder, 'modules.order'), 'utf8').trim().split('\n');
  const found = new Map<string, GuestFile>();
  const visit = (wanted: string): void => {
    if (found.has(wanted)) return;
    const path = paths.find((each) => moduleName(each) === wanted);
    if (path === undefined) throw new Error(`${folder} has no module ${wanted}`);
    const source = join(folder, path);
    for (const needed of neededBy(source)) visit(needed);
    found.set(wanted, { path: `modules/${wanted}.ko`, source });
  };
  visit(name);
  return [...found.values()];
}

function moduleName(path: string): string {
  return basename(path, '.ko').replaceAll('-', '_');
}

/** The field "depends" of a module's .modinfo. */
function neededBy(path: string): string[] {
  const elf = parseElf(readFileSync(path), path);
  const fields = Buffer.from(elf.sectionBytes(elf.requireSection('.modinfo')))
    .toString('latin1')
    .split('\0');
  const depends = fields.find((field) => field.startsWith('depends='))?.slice('depends='.length) ?? '';
  return depends
    .split(',')
    .filter((each) => each !== '')
    .map((each) => each.replaceAll('-', '_'));
}
