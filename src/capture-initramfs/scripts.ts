/**
 * The programs and shell libraries of the capture initramfs: files in root/, which mirrors it, read as they are. All run in
 * busybox sh, and what they call is busybox's, or one of the programs that capture-files.ts brings.
 */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { fileError, readInput } from '../host/files.js';

/** Where the scripts are, beside this module. */
export const scriptFolder = fileURLToPath(new URL('root/', import.meta.url));

/** Programs of Saveoops' own that are no scripts: programs/NAME.c beside this module. */
export const compiledPrograms = ['draw-qr', 'read-log', 'console-mode'] as const;

/** Where `npm run build` puts one of them. */
export function compiledProgram(name: (typeof compiledPrograms)[number]): string {
  return fileURLToPath(new URL(`../../programs/${name}`, import.meta.url));
}

export interface Script {
  /** In the initramfs, without a leading slash. */
  readonly path: string;
  readonly bytes: Uint8Array;
}

/** All of them, by path. Throws `file`. */
export async function readScripts(): Promise<Script[]> {
  const wanted = 'the scripts of the capture initramfs';
  const entries = await readdir(scriptFolder, { recursive: true }).catch((error: unknown) => {
    throw fileError(scriptFolder, wanted, error);
  });
  const paths = entries.filter((path) => isProgram({ path }) || path.endsWith('.sh')).sort();
  return await Promise.all(
    paths.map(async (path) => ({ path, bytes: await readInput(join(scriptFolder, path), wanted) })),
  );
}

/** A script that is started; the others are read by those. */
export function isProgram({ path }: Pick<Script, 'path'>): boolean {
  return path === 'init' || path.startsWith('bin/');
}

/**
 * The names of `applets` that stand anywhere in the scripts but in comments: all that they may call, and a few that they only
 * say in a message. One link too many is a hundred bytes; one too few is a capture that fails.
 */
export function appletsOf(scripts: readonly Script[], applets: readonly string[]): string[] {
  const words = new Set(
    scripts.flatMap(({ bytes }) =>
      Buffer.from(bytes)
        .toString()
        .replace(/(^|\s)#.*$/gm, '')
        .split(/[^A-Za-z0-9_-]+/),
    ),
  );
  return applets.filter((name) => words.has(name));
}
