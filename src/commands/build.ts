/** `saveoops build`: composes the files of a payload, and writes them to a folder. */
import { join } from 'node:path';
import { mebibytes } from '../bytes/mebibytes.js';
import { payloadFile } from '../compose/payload-files.js';
import { unarmingMemoryWord } from '../config/memory-words.js';
import type { ResultIo } from '../host/output.js';
import { build, type BuildRequest, type BuildResult } from '../library/build.js';
import { forJson } from '../safe-text.js';

export interface BuildOptions extends BuildRequest {
  readonly json: boolean;
}

/** Throws every kind of SaveoopsError; nothing is written unless the whole payload was built. */
export async function runBuild({ json, ...request }: BuildOptions, io: ResultIo): Promise<void> {
  const result = await build(request, io);
  io.out(json ? `${forJson(result)}\n` : render(request, result));
}

function render({ append = '', crashInitrd }: BuildRequest, result: BuildResult): string {
  const { out, dryRun, payload, modules } = result;
  const mib = (bytes: number): string => mebibytes(bytes).padStart(10);
  const word = unarmingMemoryWord(append);
  const lines = [
    `Linux ${result.primary} armed, crash kernel ${result.crash}`,
    `${mib(result.size)}  ${join(out, payload)}`,
    `${mib(result.reserved)}  RAM reserved for the crash kernel:`,
    ...result.memory.map(({ bytes, what }) => `${mib(bytes)}    ${what}`),
    ...(modules !== null
      ? [`${modules.count} kernel modules from ${modules.folder}`]
      : crashInitrd === undefined
        ? ['No kernel modules of the crash kernel found: the capture prints the log and reaches no disk']
        : []),
    ...(word === undefined ? [] : [`With ${word} in --append the kernel will boot unarmed (E12)`]),
    ...(dryRun ? [`Nothing was written; without --dry-run: ${result.files.join(', ')}`] : []),
    // `test` boots a folder with all of a payload, not a composed image alone.
    ...(!dryRun && payload === payloadFile ? [`Prove it: saveoops test ${out}`] : []),
  ];
  return `${lines.join('\n')}\n`;
}
