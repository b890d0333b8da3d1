/** Finds the modules of a kernel on this machine: /lib/modules/RELEASE, or what lies in an unpacked package. */
import { readdir, readFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { SaveoopsError } from '../errors.js';
import { moduleNameOf, parseModulesDep } from '../formats/modules/modules-dep.js';
import { fileError } from '../host/files.js';
import { exists } from '../host/presence.js';

export interface ModuleTree {
  readonly folder: string;
  /** Path below `folder` of each module, by the name that the kernel knows it by. */
  readonly paths: ReadonlyMap<string, string>;
  /**
   * Names of what each module needs, from modules.dep. Undefined when there is none, as in a package that was unpacked
   * and not installed; then each module says itself.
   */
  readonly needs: ReadonlyMap<string, readonly string[]> | undefined;
  /** Names of the modules that this kernel has built in. */
  readonly builtin: ReadonlySet<string>;
}

/**
 * The modules of `release`.
 * @param given --modules: the folder itself or a root that has it
 * @param kernel path of the kernel's bzImage; its package's root is looked at, then this machine's
 * Gives undefined when nothing was given and nothing found. Throws `file` when the given folder has none, `format` for
 * a damaged modules.dep.
 */
export async function findModules(
  release: string,
  kernel: string,
  given?: string,
): Promise<ModuleTree | undefined> {
  // Debian has the modules in /lib, since 6.12 in /usr/lib, and since 7.x the image beside them.
  const below = (root: string): string[] =>
    ['lib/modules', 'usr/lib/modules'].map((path) => join(root, path, release));
  const beside = dirname(kernel);
  const places =
    given === undefined
      ? [...below(join(beside, '..')), beside, ...below('/')]
      : [given, join(given, release), ...below(given)];
  for (const folder of places) {
    if (await isModuleFolder(folder)) return await readTree(folder);
  }
  if (given === undefined) return undefined;
  throw new SaveoopsError('file', `no kernel modules in ${given}`, {
    where: '--modules',
    found: `no modules.dep and no folder kernel in ${places.join(', ')}`,
    wanted: `the modules of ${release}, the crash kernel`,
    hint: 'give the folder /lib/modules/RELEASE of the kernel, or the root that its package was unpacked to',
  });
}

async function isModuleFolder(folder: string): Promise<boolean> {
  return (await exists(join(folder, 'modules.dep'))) || (await exists(join(folder, 'kernel')));
}

async function readTree(folder: string): Promise<ModuleTree> {
  const dep = join(folder, 'modules.dep');
  const builtin = new Set((await readList(join(folder, 'modules.builtin'))).flatMap(nameOrNone));
  if (!(await exists(dep))) {
    const found = await readdir(join(folder, 'kernel'), { recursive: true, withFileTypes: true });
    const files = found.filter((entry) => !entry.isDirectory());
    const paths = files.map((entry) => relative(folder, join(entry.parentPath, entry.name)));
    return { folder, paths: byName(paths), needs: undefined, builtin };
  }
  const modules = parseModulesDep((await readList(dep)).join('\n'), dep);
  const needs = new Map<string, readonly string[]>();
  for (const [path, needed] of modules) {
    for (const name of nameOrNone(path)) needs.set(name, needed.flatMap(nameOrNone));
  }
  return { folder, paths: byName([...modules.keys()]), needs, builtin };
}

function byName(paths: readonly string[]): Map<string, string> {
  return new Map(paths.flatMap((path) => nameOrNone(path).map((name): [string, string] => [name, path])));
}

function nameOrNone(path: string): string[] {
  const name = moduleNameOf(path);
  return name === undefined ? [] : [name];
}

/** Lines of a file; none when it does not exist. */
async function readList(path: string): Promise<string[]> {
  if (!(await exists(path))) return [];
  try {
    return (await readFile(path, 'utf8')).split('\n');
  } catch (error) {
    throw fileError(path, 'a list of kernel modules', error);
  }
}
