/** The commands of docs/recipes.md, run as a reader would run them: what is written is what is tested. */
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ExecaError, execa } from 'execa';
import { withTemporaryFolder } from '../../src/host/files.js';
import { shellWord } from '../../src/host/shell-word.js';
import { cache, repository } from './folders.js';

const page = 'docs/recipes.md';

/**
 * The `sh` block under a heading, and of several the one with `mark` behind its `sh`. Throws when there is not exactly one: a
 * recipe that the page does not have must not pass.
 */
export function recipe(heading: string, mark = ''): string {
  const text = readFileSync(join(repository, page), 'utf8');
  const section = text.split(/^## /m).find((part) => part.startsWith(`${heading}\n`)) ?? '';
  const blocks = [...section.matchAll(/^```sh *(.*)\n([^]*?)^```$/gm)].filter((block) => block[1] === mark);
  const [block] = blocks;
  if (block?.[2] !== undefined && blocks.length === 1) return block[2];
  throw new Error(`${page}: ${blocks.length} blocks "sh ${mark}" under "${heading}"`);
}

/** An empty folder, .cache/recipes/NAME. */
export function emptyFolder(name: string): string {
  const folder = join(cache, 'recipes', name);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  return folder;
}

/** The program as an installation puts it on PATH. */
const installed = `#!/bin/sh
exec ${shellWord(process.execPath)} ${shellWord(join(repository, 'dist/src/cli.js'))} "$@"
`;

/**
 * Runs commands by `sh -e` in `folder`, with `saveoops` on PATH and `values` in the environment. Gives what they wrote to standard
 * output; throws with all that they said. `seconds`: the limit.
 */
export async function runRecipe(
  commands: string,
  folder: string,
  values: Readonly<Record<string, string>>,
  seconds = 120,
): Promise<string> {
  return await withTemporaryFolder(async (bin) => {
    await writeFile(join(bin, 'saveoops'), installed, { mode: 0o755 });
    try {
      const { stdout } = await execa('sh', ['-eu', '-c', commands], {
        cwd: folder,
        env: { ...values, PATH: `${bin}:${process.env['PATH'] ?? ''}:/usr/sbin:/sbin` },
        timeout: seconds * 1000,
      });
      return stdout;
    } catch (error) {
      if (!(error instanceof ExecaError)) throw error;
      const outcome = error.timedOut
        ? `lost: no end within ${seconds} seconds`
        : `failed: status ${error.exitCode ?? '?'}`;
      const set = Object.entries(values).map(([name, value]) => `${name}=${shellWord(value)}`);
      const again = `cd ${folder}; export ${set.join(' ')}`;
      throw new Error([`${outcome}, ${page}`, again, commands, error.stdout, error.stderr].join('\n'));
    }
  });
}
