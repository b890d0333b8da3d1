/**
 * Unified kernel images, as kernel-install makes them with `layout=uki`: BOOT/EFI/Linux/TOKEN-V.efi. Such an image is the plain entry. The
 * armed one is made of it by ukify: every section that the machine's own has, with the composed image as `.linux`. So the command line, the
 * initramfs, microcode and the like are what kernel-install took, and neither its configuration nor ukify's is read here.
 */
import { open, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { SaveoopsError } from '../errors.js';
import { parsePe } from '../formats/pe/parse-pe.js';
import { osReleaseValue, unifiedSections, type FilePart } from '../formats/pe/unified-kernel.js';
import { readInput, withTemporaryFolder } from '../host/files.js';
import { runTool } from '../host/run-tool.js';
import { digestFile } from './payload-store.js';

/** From the ESP's or XBOOTLDR's root. */
const folder = 'EFI/Linux';

export interface UnifiedKernel {
  readonly file: string;
  /** As an entry of type #1 of the same title, in the same place of the menu; without the counter in the file's name. */
  readonly text: string;
  readonly commandLine: string;
}

/** Those of this token, by version, with or without a counter of boots in the name. What is no such image is none of ours. */
export async function unifiedKernels(
  boot: string,
  token: string,
): Promise<ReadonlyMap<string, UnifiedKernel>> {
  const found = new Map<string, UnifiedKernel>();
  for (const name of await unifiedFiles(boot)) {
    const version = versionOf(name, token);
    if (version === undefined) continue;
    const image = await readUnified(join(boot, folder, name), `/${folder}/${token}-${version}.efi`);
    if (image !== undefined) found.set(version, image);
  }
  return found;
}

/** Names of files that may be such images. */
export async function unifiedFiles(boot: string): Promise<readonly string[]> {
  const names = await readdir(join(boot, folder)).catch(() => []);
  return names.filter((name) => name.endsWith('.efi'));
}

function versionOf(name: string, token: string): string | undefined {
  if (!name.startsWith(`${token}-`)) return undefined;
  return /^(.+?)(?:\+\d+(?:-\d+)?)?\.efi$/.exec(name.slice(token.length + 1))?.[1];
}

async function readUnified(file: string, path: string): Promise<UnifiedKernel | undefined> {
  const sections = await readSections(file, ['.osrel', '.cmdline']).catch(() => undefined);
  const release = text(sections?.get('.osrel'));
  if (sections === undefined || release === '') return undefined;
  const first = (...names: readonly string[]): string | undefined =>
    names.map((name) => osReleaseValue(release, name)).find((value) => value !== undefined);
  const line = (key: string, value: string | undefined): readonly string[] =>
    value === undefined ? [] : [`${key.padEnd(10)} ${value}`];
  return {
    file,
    commandLine: text(sections.get('.cmdline')).trim(),
    // As systemd-boot reads an image of its own (bootspec-fundamental.c), which has no machine id.
    text: [
      ...line('title', first('PRETTY_NAME', 'IMAGE_ID', 'NAME', 'ID') ?? path),
      ...line('version', first('IMAGE_VERSION', 'VERSION', 'VERSION_ID', 'BUILD_ID')),
      ...line('sort-key', first('IMAGE_ID', 'ID')),
      ...line('efi', path),
      '',
    ].join('\n'),
  };
}

const text = (bytes: Uint8Array | undefined): string =>
  Buffer.from(bytes ?? [])
    .toString('latin1')
    .replace(/\0+$/, '');

/** All headers lie in the first page, or two. */
const headersSize = 1 << 16;

/** Contents by name. Throws what parsePe() throws, and what reading does. */
async function readSections(
  path: string,
  names: readonly string[],
): Promise<ReadonlyMap<string, Uint8Array>> {
  const file = await open(path);
  try {
    const { size } = await file.stat();
    const read = async ({ offset, size: length }: FilePart): Promise<Uint8Array> => {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, offset);
      return buffer.subarray(0, bytesRead);
    };
    const headers = await read({ offset: 0, size: Math.min(headersSize, size) });
    const parts = unifiedSections(parsePe(headers, path, size));
    const found = new Map<string, Uint8Array>();
    for (const name of names) {
      const part = parts.get(name);
      if (part !== undefined) found.set(name, await read(part));
    }
    return found;
  } finally {
    await file.close();
  }
}

/** What else a machine's own image may have, with ukify's option for a file of it. The command line gets words of ours. */
const copied = {
  '.osrel': (file: string) => [`--os-release=@${file}`],
  '.initrd': (file: string) => [`--initrd=${file}`],
  '.ucode': (file: string) => [`--microcode=${file}`],
  '.splash': (file: string) => [`--splash=${file}`],
  '.dtb': (file: string) => [`--devicetree=${file}`],
} as const;

/**
 * The machine's image with another kernel, without a signature. Throws `file`, `tool`, and `unsupported` for one with signed
 * measurements (`.pcrsig`): they are of the plain kernel, and a disk that is bound to them would not be unlocked.
 * @param kernel the composed image
 * @param words added to the command line
 */
export async function armUnified(
  { file }: UnifiedKernel,
  kernel: Uint8Array,
  version: string,
  words: readonly string[],
): Promise<Uint8Array> {
  const bytes = await readInput(file, 'a unified kernel image');
  const parts = unifiedSections(parsePe(bytes, file));
  if (parts.has('.pcrsig')) {
    throw new SaveoopsError('unsupported', 'a unified kernel image with signed measurements', {
      where: file,
      found: 'a section .pcrsig',
      wanted: 'none: what is bound to it would not be unlocked for an armed kernel',
      hint: 'this kernel stays plain. Images without [PCRSignature:...] in /etc/kernel/uki.conf are armed',
    });
  }
  const content = (name: string): Uint8Array | undefined => {
    const part = parts.get(name);
    return part && bytes.subarray(part.offset, part.offset + part.size);
  };
  return await withTemporaryFolder(async (work) => {
    const put = async (name: string, content: Uint8Array): Promise<string> => {
      await writeFile(join(work, name), content, { mode: 0o600 });
      return join(work, name);
    };
    const options: string[] = [`--linux=${await put('linux', kernel)}`];
    for (const [name, option] of Object.entries(copied)) {
      const part = content(name);
      if (part !== undefined) options.push(...option(await put(name.slice(1), part)));
    }
    const line = [text(content('.cmdline')).trim(), ...words].filter((each) => each !== '').join(' ');
    options.push(`--cmdline=@${await put('cmdline', Buffer.from(line, 'latin1'))}`, `--uname=${version}`);
    const out = join(work, 'uki.efi');
    await runTool('ukify', ['build', ...options, `--output=${out}`]);
    return await readInput(out, 'what ukify has made');
  });
}

/** In a payload folder: which image it was made of, and with which words. */
export const madeOfFile = 'made-of';

/** Its text. Throws `file`. */
export async function madeOf({ file }: UnifiedKernel, words: readonly string[]): Promise<string> {
  return `${[await digestFile(file), ...words].join(' ')}\n`;
}

/** undefined: of none. */
export async function readMadeOf(payloadFolder: string): Promise<string | undefined> {
  return await readFile(join(payloadFolder, madeOfFile), 'latin1').catch(() => undefined);
}
