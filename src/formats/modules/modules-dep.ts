/** modules.dep, the list that depmod(8) writes: one module a line, "PATH: PATH PATH ...", relative to the folder. */
import { SaveoopsError } from '../../errors.js';

/** Path of each module below the folder, and the paths of what it needs. */
export type ModulePaths = ReadonlyMap<string, readonly string[]>;

/** What a module's file may be called: modules come plain or compressed. */
const fileName = /^([A-Za-z0-9_-]+)\.ko(\.gz|\.xz|\.zst)?$/;

/**
 * The name by which the kernel knows the module in a file, from the file's name; undefined when it holds none.
 * The kernel makes no difference between '-' and '_' and says '_' itself.
 */
export function moduleNameOf(path: string): string | undefined {
  return fileName.exec(path.slice(path.lastIndexOf('/') + 1))?.[1]?.replaceAll('-', '_');
}

/**
 * @param source names the file in errors
 * Throws `format` for a line that is no module, a path that leads out of the folder, and a needed module that has no
 * line of its own (depmod gives every module one: the file has been cut off or edited).
 */
export function parseModulesDep(text: string, source: string): ModulePaths {
  const modules = new Map<string, readonly string[]>();
  text.split('\n').forEach((line, index) => {
    if (line.trim() === '' || line.startsWith('#')) return;
    const where = `${source}, line ${index + 1}`;
    const colon = line.indexOf(':');
    if (colon < 0) throw damaged(where, JSON.stringify(line), 'a module, a colon, and what the module needs');
    const paths = [line.slice(0, colon), ...line.slice(colon + 1).split(/\s+/)].filter((path) => path !== '');
    for (const path of paths) checkPath(path, where);
    const [module, ...needs] = paths;
    if (module === undefined) throw damaged(where, JSON.stringify(line), 'a module in front of the colon');
    modules.set(module, needs);
  });
  for (const [module, needs] of modules) {
    const unknown = needs.find((path) => !modules.has(path));
    if (unknown === undefined) continue;
    throw damaged(
      `${source}, ${module}`,
      `it needs ${unknown}, which has no line`,
      'a line for every module',
    );
  }
  return modules;
}

function checkPath(path: string, where: string): void {
  const inside = !path.startsWith('/') && !path.split('/').some((part) => part === '..' || part === '');
  if (inside && moduleNameOf(path) !== undefined) return;
  throw damaged(where, JSON.stringify(path), 'a path of a module below the folder that the file is in');
}

function damaged(where: string, found: string, wanted: string): SaveoopsError {
  return new SaveoopsError('format', 'modules.dep is damaged', {
    where,
    found,
    wanted,
    hint: 'make it anew: depmod RELEASE',
  });
}
