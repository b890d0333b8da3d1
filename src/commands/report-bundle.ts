/** `saveoops report --bundle FILE`: shows what a bug report would hold, and packs it. */
import { mkdir, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { basename, join } from 'node:path';
import { createInterface } from 'node:readline/promises';
import { gzipSync } from 'node:zlib';
import { fileError, withTemporaryFolder, writeAtomic } from '../host/files.js';
import { runTool } from '../host/run-tool.js';
import { generator } from '../host/version.js';
import type { Capture } from '../library/read-capture.js';
import { makeBundle, type Bundle } from '../report/bundle.js';
import { bytes } from '../report/duration.js';
import { forTerminal } from '../safe-text.js';
import type { Output } from '../host/output.js';

export interface BundleRequest {
  /** The tar archive to write; compressed when its name ends with .gz or .tgz. */
  readonly file: string;
  readonly redact: boolean;
}

/**
 * Lists the files with their sizes first. At a terminal it asks before it writes; false: the answer was no.
 * Throws `file`, `tool`.
 */
export async function writeBundle(
  capture: Capture,
  { file, redact }: BundleRequest,
  io: Pick<Output, 'out'>,
): Promise<boolean> {
  const bundle = makeBundle(capture, {
    captureJson: capture.captureJson,
    versions: { saveoops: generator, node: process.version },
    redactHosts: redact ? [hostname()] : undefined,
  });
  io.out(describe(bundle, file));
  if (!(await confirmed(file))) return false;
  const archive = await pack(bundle, basename(file).replace(/\.(?:tar\.gz|tgz|tar|gz)$/, '') || 'saveoops');
  const packed = /\.t?gz$/.test(file) ? gzipSync(archive, { level: 9 }) : archive;
  // As a log, it holds more than one thinks.
  await writeAtomic(file, [packed], 0o600);
  io.out(`${forTerminal(file)} written (${bytes(packed.length)})\n`);
  return true;
}

function describe({ files, redacted }: Bundle, file: string): string {
  const names = Math.max(...files.map(({ name }) => name.length));
  const sizes = files.map(({ text }) => bytes(Buffer.byteLength(text)));
  const width = Math.max(...sizes.map(({ length }) => length));
  const taken =
    redacted === undefined
      ? 'Nothing is taken out of them: command lines, serial numbers, MAC addresses and host names are as they were.\n--redact takes out what is known as such.'
      : `Taken out: ${redacted.secret} secrets of command lines, ${redacted.serial} serial numbers, ${redacted.MAC} MAC addresses, ${redacted.host} host names,\nas far as they were known as such. Read the files before you send them.`;
  return [
    `${forTerminal(file)} will hold`,
    ...files.map(
      ({ name, what }, index) => `  ${name.padEnd(names)}  ${(sizes[index] ?? '').padStart(width)}  ${what}`,
    ),
    taken,
    '',
  ].join('\n');
}

/** A script is not asked. */
async function confirmed(file: string): Promise<boolean> {
  if (!process.stdin.isTTY || !process.stdout.isTTY) return true;
  const terminal = createInterface({ input: process.stdin, output: process.stdout });
  try {
    return /^y(?:es)?$/i.test((await terminal.question(`Write ${forTerminal(file)}? [y/N] `)).trim());
  } finally {
    terminal.close();
  }
}

/** By tar(1); the same files give the same bytes. */
async function pack({ files }: Bundle, name: string): Promise<Uint8Array> {
  return await withTemporaryFolder(async (folder) => {
    const inside = join(folder, 'bundle');
    try {
      await mkdir(inside, { mode: 0o755 });
      for (const file of files) await writeFile(join(inside, file.name), file.text, { mode: 0o600 });
    } catch (error) {
      throw fileError(folder, 'a temporary copy of the bundle', error);
    }
    return await runTool('tar', [
      ...['--create', '--format=ustar', '--sort=name', '--mtime=@0', '--owner=0', '--group=0'],
      ...[
        '--numeric-owner',
        '--mode=u=rw,go=r,a+X',
        '--transform',
        `s,^\\.,${name.replace(/[^\w.+-]/g, '_')},`,
      ],
      ...['--directory', inside, '.'],
    ]);
  });
}
