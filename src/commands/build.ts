/** `saveoops build`: composes the files of a payload, and writes them to a folder. */
import { join } from 'node:path';
import type { Capture } from '../compose/capture-initramfs.js';
import { composeFiles } from '../compose/compose-files.js';
import type { ComposeOptions } from '../compose/compose-options.js';
import { unarmingMemoryWord } from '../config/memory-words.js';
import { imageFiles, payloadFile } from '../compose/payload-files.js';
import { makeFolder, writeTogether } from '../host/files.js';
import type { Payload } from '../payload/build-payload.js';
import { forJson } from '../safe-text.js';

export interface BuildOptions extends ComposeOptions {
  readonly out: string;
  readonly json: boolean;
}

export interface BuildIo {
  readonly out: (text: string) => void;
}

const MiB = 1 << 20;

/** Throws every kind of SaveoopsError; nothing is written unless the whole payload was built. */
export async function runBuild(options: BuildOptions, io: BuildIo): Promise<void> {
  const { payload, files, capture } = await composeFiles(options);
  await makeFolder(options.out);
  await writeTogether(options.out, files);
  report(
    options,
    payload,
    capture,
    files.map((file) => file.name),
    io,
  );
}

function report(
  options: BuildOptions,
  payload: Payload,
  { modules }: Capture,
  files: readonly string[],
  io: BuildIo,
): void {
  const { manifest, com32, image } = payload;
  const size = options.format === 'com32' ? com32.size : image.bytes.length;
  if (options.json) {
    const result = {
      out: options.out,
      files,
      size,
      reserved: manifest.memory.size,
      memory: manifest.memory.parts,
      modules: modules ?? null,
      primary: manifest.primary.release,
      crash: manifest.crash.release,
    };
    io.out(`${forJson(result)}\n`);
    return;
  }
  const mib = (bytes: number): string => `${(bytes / MiB).toFixed(1)} MiB`.padStart(10);
  const main = imageFiles[options.format] ?? payloadFile;
  io.out(`Linux ${manifest.primary.release} armed, crash kernel ${manifest.crash.release}\n`);
  io.out(`${mib(size)}  ${join(options.out, main)}\n`);
  io.out(`${mib(manifest.memory.size)}  RAM reserved for the crash kernel:\n`);
  for (const part of manifest.memory.parts) io.out(`${mib(part.bytes)}    ${part.what}\n`);
  if (modules !== undefined) io.out(`${modules.count} kernel modules from ${modules.folder}\n`);
  else if (options.crashInitrd === undefined) {
    io.out('No kernel modules of the crash kernel found: the capture prints the log and reaches no disk\n');
  }
  const word = unarmingMemoryWord(options.append);
  if (word !== undefined) io.out(`With ${word} in --append the kernel will boot unarmed (E12)\n`);
  io.out(`Prove it: saveoops test ${options.out}\n`);
}
