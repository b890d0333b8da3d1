/**
 * Kernel modules for the capture initramfs, with the lists that busybox's modprobe reads. Each module is compressed on its own and unpacked only while it is loaded: most machines load few of them,
 * and memory is short.
 */
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gunzip, gzip } from 'node:zlib';
import { SaveoopsError } from '../errors.js';
import { parseElf } from '../formats/elf/parse-elf.js';
import { readModuleInfo, type ModuleInfo } from '../formats/modules/module-info.js';
import { readInput } from '../host/files.js';
import { runTool } from '../host/run-tool.js';
import type { CaptureFile } from './capture-files.js';
import { fileSystemModules, modulesOfMachine, storageModules, watchdogModules } from './module-set.js';
import type { ModuleTree } from './module-tree.js';

export interface ModuleChoice {
  readonly tree: ModuleTree;
  /** uname -r of the crash kernel. */
  readonly release: string;
  /** Names of modules beside the default set, from --capture-module. */
  readonly extra: readonly string[];
  /** Names of modules that one machine needs; one that this kernel does not have is no error. */
  readonly machine?: readonly string[];
  /** Whether those take the place of the default set. */
  readonly machineOnly?: boolean;
}

interface Module {
  readonly name: string;
  readonly source: string;
  readonly info: ModuleInfo;
  readonly needs: readonly string[];
  /** gzip */
  readonly packed: Promise<Uint8Array>;
}

/**
 * The members of the initramfs, none when the kernel has no module of the set. Throws `usage` for a module of `extra`
 * that there is not, `wrong-file` for a module of another kernel, and what damaged files bring: `format`, `truncated`,
 * `missing-fact`, `file`, `tool`.
 */
export async function gatherModules(choice: ModuleChoice): Promise<CaptureFile[]> {
  const { tree, release, extra, machine = [], machineOnly = false } = choice;
  const quiet = await loadAll(
    tree,
    release,
    watchdogModules.filter((name) => tree.paths.has(name)),
  );
  const asked = extra.flatMap((name) => checkExtra(tree, name));
  const wanted = machineOnly
    ? modulesOfMachine(machine)
    : [...machine, ...storageModules, ...fileSystemModules];
  const usual = wanted.filter((name) => tree.paths.has(name));
  const loud = await loadAll(tree, release, [...usual, ...asked]);
  if (loud.size === 0) return [];
  const modules = new Map([...quiet, ...loud]);
  const folder = `lib/modules/${release}`;
  const own = (path: string, text: string): CaptureFile => ({
    ...{ path, mode: 0o644, kind: 'file', bytes: Buffer.from(text), source: 'saveoops' },
  });
  return [
    // The kernel runs this when it wants a module itself: for a file system, a checksum, a character set.
    { path: 'sbin/modprobe', mode: 0o777, kind: 'link', target: '../bin/busybox', source: 'saveoops' },
    own(`${folder}/modules.dep`, renderDep(modules)),
    own(`${folder}/modules.alias`, renderAliases([...loud.values()])),
    ...(await Promise.all(
      [...modules.values()].map(async ({ name, source, packed }): Promise<CaptureFile> => {
        return { path: `${folder}/${fileOf(name)}`, mode: 0o644, kind: 'file', bytes: await packed, source };
      }),
    )),
  ];
}

const fileOf = (name: string): string => `${name}.ko.gz`;

/** `names` and all that they need, what is needed first. */
async function loadAll(
  tree: ModuleTree,
  release: string,
  names: readonly string[],
): Promise<Map<string, Module>> {
  const done = new Map<string, Module>();
  const visit = async (name: string, above: readonly string[]): Promise<void> => {
    if (done.has(name)) return;
    const path = tree.paths.get(name);
    const where = join(tree.folder, path ?? '');
    const chain = [...above, name];
    if (above.includes(name)) throw badTree(where, `a circle: ${chain.join(' needs ')}`);
    if (path === undefined) throw badTree(where, `${chain.join(' needs ')}, and there is no such module`);
    const bytes = await readModule(where);
    const info = readModuleInfo(parseElf(bytes, where));
    checkRelease(where, info, release);
    const packed = promisify(gzip)(bytes, { level: 6 });
    const needs = (tree.needs?.get(name) ?? info.depends).filter((need) => !tree.builtin.has(need));
    for (const need of needs) await visit(need, chain);
    done.set(name, { name, source: where, info, needs, packed });
  };
  for (const name of names) await visit(name, []);
  return done;
}

/** No module is larger; a small hostile file can decompress to any size. */
const largestModule = 256 << 20;

async function readModule(path: string): Promise<Uint8Array> {
  const bytes = await readInput(path, 'a kernel module');
  if (path.endsWith('.xz')) return await runTool('xz', ['-dc'], { input: bytes });
  if (path.endsWith('.zst')) return await runTool('zstd', ['-dcq'], { input: bytes });
  if (!path.endsWith('.gz')) return bytes;
  try {
    return await promisify(gunzip)(bytes, { maxOutputLength: largestModule });
  } catch (error) {
    throw new SaveoopsError('format', `${path} is damaged`, {
      ...{ where: path, found: String(error), wanted: 'a kernel module, compressed with gzip', cause: error },
    });
  }
}

/** The kernel would refuse the module when it is needed most. */
function checkRelease(where: string, { vermagic }: ModuleInfo, release: string): void {
  if (vermagic.split(' ')[0] === release) return;
  throw new SaveoopsError('wrong-file', 'a module of another kernel', {
    where,
    found: vermagic === '' ? 'no vermagic' : `vermagic ${vermagic}`,
    wanted: `vermagic ${release}, the crash kernel's`,
    hint: 'give the folder of its modules with --modules',
  });
}

/** The module's name, or none when it is built in. Throws `usage` when there is no such module. */
function checkExtra(tree: ModuleTree, given: string): string[] {
  const name = given.replaceAll('-', '_');
  if (tree.paths.has(name)) return [name];
  if (tree.builtin.has(name)) return [];
  const close = [...tree.paths.keys(), ...tree.builtin].filter((each) => isClose(each, name)).sort();
  throw new SaveoopsError('usage', `no kernel module ${given}`, {
    where: '--capture-module',
    found: `no ${name}.ko in ${tree.folder}, nor in its modules.builtin`,
    wanted: 'a module of the crash kernel',
    hint: close.length === 0 ? undefined : `perhaps ${close.slice(0, 5).join(', ')}`,
  });
}

/** One holds the other, or two edits of a character make one of the other. */
function isClose(one: string, other: string): boolean {
  const [short, long] = one.length < other.length ? [one, other] : [other, one];
  if (short.length > 2 && long.includes(short)) return true;
  return long.length - short.length <= 2 && long.length > 4 && edits(one, other) <= 2;
}

/** Levenshtein's distance. */
function edits(one: string, other: string): number {
  let row = Array.from({ length: other.length + 1 }, (_, index) => index);
  for (const [i, a] of [...one].entries()) {
    const next = [i + 1];
    for (const [j, b] of [...other].entries()) {
      const swap = (row[j] ?? 0) + (a === b ? 0 : 1);
      next.push(Math.min(swap, (row[j + 1] ?? 0) + 1, (next[j] ?? 0) + 1));
    }
    row = next;
  }
  return row[other.length] ?? 0;
}

/** modules.dep as depmod(8) writes it: all that a module needs, what is loaded first last. */
function renderDep(modules: ReadonlyMap<string, Module>): string {
  const order = [...modules.keys()];
  const closure = (name: string, seen: Set<string>): Set<string> => {
    for (const need of modules.get(name)?.needs ?? []) {
      if (!seen.has(need)) closure(need, seen.add(need));
    }
    return seen;
  };
  return order
    .map((name) => {
      const needs = closure(name, new Set());
      const files = order.filter((each) => needs.has(each)).map((each) => ` ${fileOf(each)}`);
      return `${fileOf(name)}:${files.reverse().join('')}\n`;
    })
    .join('');
}

/** modules.alias. What a list of words cannot hold is left out: no alias of a kernel has it. */
function renderAliases(modules: readonly Module[]): string {
  const lines = modules.flatMap(({ name, info }) =>
    info.aliases
      .filter((alias) => /^[\x21-\x7e]+$/.test(alias))
      .map((alias) => `alias ${withoutRanges(alias)} ${name}\n`),
  );
  return [...new Set(lines)].join('');
}

/** Busybox turns every '-' of a pattern into '_', that of a range too: [0-3] becomes [0123]. */
function withoutRanges(pattern: string): string {
  return pattern.replace(/\[[^\]]*\]/g, (set) =>
    set.replace(/([0-9A-Za-z])-([0-9A-Za-z])/g, (_, first: string, last: string) => {
      const from = first.charCodeAt(0);
      const length = Math.max(0, last.charCodeAt(0) - from + 1);
      return String.fromCharCode(...Array.from({ length }, (__, index) => from + index));
    }),
  );
}

function badTree(where: string, found: string): SaveoopsError {
  return new SaveoopsError('format', 'the list of kernel modules is damaged', {
    ...{ where, found, wanted: 'modules that need each other in no circle, all of them there' },
    hint: 'make modules.dep anew: depmod RELEASE',
  });
}
