/** `saveoops build`: reads the inputs, builds the payload, writes the folder. */
import { mkdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildCaptureInitramfs } from '../capture/build-initramfs.js';
import { captureCommandLine } from '../capture/command-line.js';
import { armedAppend, checkAppend, oopsPanicWord, renderSyslinuxConfig } from '../config/syslinux-config.js';
import { SaveoopsError } from '../errors.js';
import { fileError, readInput, writeAtomic } from '../host/files.js';
import { generator } from '../host/version.js';
import { loadKernel } from '../kernel/load-kernel.js';
import { buildPayload, type InputFile, type Payload } from '../payload/build-payload.js';
import { digestInitrd, encodeManifest } from '../payload/com32-file.js';
import { loadStubObjects } from '../stubs/stub-objects.js';

export interface BuildOptions {
  readonly kernel: string;
  readonly initrd: readonly string[];
  readonly initrdBeside: boolean;
  readonly append: string;
  /** Whether the armed entries get `oops=panic`. */
  readonly oopsPanic: boolean;
  readonly crashKernel: string | undefined;
  readonly crashInitrd: string | undefined;
  readonly crashAppend: string;
  readonly crashSize: string | undefined;
  readonly resetVga: boolean;
  readonly resetPic: boolean;
  readonly dumpTools: boolean;
  readonly captureTools: string | undefined;
  readonly out: string;
  readonly format: 'com32' | 'bzimage';
  readonly json: boolean;
}

export interface BuildIo {
  readonly out: (text: string) => void;
}

const captureFile = 'saveoops-capture.img';
const imageFile = 'saveoops.bzimage';
const template = join(fileURLToPath(import.meta.url), '../../../../syslinux-config/syslinux.cfg.template');
const MiB = 1 << 20;

/** Throws every kind of SaveoopsError; nothing is written unless the whole payload was built. */
export async function runBuild(options: BuildOptions, io: BuildIo): Promise<void> {
  const { payload, files } = await composeFiles(options);
  await makeFolder(options.out);
  for (const { name, chunks } of files) await writeAtomic(join(options.out, name), chunks);
  report(
    options,
    payload,
    files.map((file) => file.name),
    io,
  );
}

/** A file of the result: its name in the folder, and its bytes in pieces. */
export interface ComposedFile {
  readonly name: string;
  readonly chunks: readonly Uint8Array[];
}

/** Everything that `build` writes, built and not yet written. Throws every kind of SaveoopsError. */
export async function composeFiles(
  options: Omit<BuildOptions, 'out' | 'json'>,
): Promise<{ payload: Payload; files: readonly ComposedFile[] }> {
  checkAppend('--append', options.append);
  checkAppend('--crash-append', options.crashAppend);
  checkOopsPanic(options);
  checkCaptureOptions(options);
  const crashSize = options.crashSize === undefined ? undefined : parseSize(options.crashSize);
  const names = nameFiles(options);
  const kernelBytes = await readInput(options.kernel, 'a bzImage');
  // A host tool decompresses the kernel; all that this process can do meanwhile is started with it.
  const [loaded, crashBytes, stubs, configTemplate, crashInitrd, ...initrds] = await Promise.all([
    loadKernel(kernelBytes, names.kernel),
    options.crashKernel === undefined ? undefined : readInput(options.crashKernel, 'a bzImage'),
    loadStubObjects(),
    readInput(template, 'the configuration template of the package'),
    readCrashInitrd(options),
    ...options.initrd.map(async (path, index) =>
      digestInitrd(names.initrds[index] ?? '', await readInput(path, 'an initramfs')),
    ),
  ]);
  const kernel: InputFile = { name: names.kernel, bytes: kernelBytes };
  const same = crashBytes === undefined || Buffer.compare(crashBytes, kernelBytes) === 0;
  const crashKernel: InputFile = same ? kernel : { name: names.crashKernel, bytes: crashBytes };
  const crashAppend = [...captureCommandLine, options.crashAppend].filter((word) => word !== '').join(' ');
  const payload = await buildPayload({
    generator,
    kernel,
    loaded,
    initrds,
    initrdBeside: options.initrdBeside,
    append: armedAppend(options),
    crashKernel,
    crashInitrd,
    crashAppend,
    crashSize,
    reset: { vga: options.resetVga, pic: options.resetPic },
    stubs,
  });
  const config = renderSyslinuxConfig(Buffer.from(configTemplate).toString(), {
    release: payload.manifest.primary.release,
    kernelFile: kernel.name,
    initrdFiles: initrds.map((initrd) => initrd.name),
    initrdBeside: options.initrdBeside,
    append: options.append,
    oopsPanic: options.oopsPanic,
    crashKernelFile: crashKernel.name,
    crashInitrdFile: captureFile,
    crashAppend,
  });
  const files: ComposedFile[] =
    options.format === 'bzimage'
      ? [{ name: imageFile, chunks: [payload.image.bytes] }]
      : [
          { name: kernel.name, chunks: [kernel.bytes] },
          ...(same ? [] : [{ name: crashKernel.name, chunks: [crashKernel.bytes] }]),
          { name: captureFile, chunks: [crashInitrd.bytes] },
          ...initrds.map(({ name, bytes }) => ({ name, chunks: [bytes] })),
          { name: 'saveoops.c32', chunks: payload.com32.chunks },
          { name: 'syslinux.cfg', chunks: [Buffer.from(config)] },
        ];
  files.push({ name: 'saveoops.json', chunks: [encodeManifest(payload.manifest)] });
  return { payload, files };
}

async function readCrashInitrd({
  crashInitrd: path,
  dumpTools,
  captureTools: toolFolder,
}: Pick<BuildOptions, 'crashInitrd' | 'dumpTools' | 'captureTools'>): Promise<{
  bytes: Uint8Array;
  unpackedSize: number;
}> {
  if (path === undefined) return buildCaptureInitramfs({ dumpTools, toolFolder });
  const bytes = await readInput(path, 'an initramfs for the crash kernel');
  // How much a foreign archive unpacks to is not known: dracut and initramfs-tools images grow about threefold.
  return { bytes, unpackedSize: 3 * bytes.length };
}

/** File names beside the payload: what Syslinux can name (no spaces), each once. */
function nameFiles(options: Pick<BuildOptions, 'kernel' | 'crashKernel' | 'initrd'>): {
  kernel: string;
  crashKernel: string;
  initrds: string[];
} {
  const taken = new Set(['saveoops.c32', 'saveoops.json', 'syslinux.cfg', 'ldlinux.c32', captureFile]);
  const name = (path: string): string => {
    const plain = basename(path).replace(/[^A-Za-z0-9._+-]/g, '_');
    let free = plain;
    for (let i = 2; taken.has(free.toLowerCase()); i++) free = `${i}-${plain}`;
    taken.add(free.toLowerCase());
    return free;
  };
  return {
    kernel: name(options.kernel),
    crashKernel: name(options.crashKernel ?? options.kernel),
    initrds: options.initrd.map(name),
  };
}

/** An option that would do nothing, or that the command line speaks against, is refused. Throws `usage`. */
function checkOopsPanic({
  oopsPanic,
  append,
  format,
}: Pick<BuildOptions, 'oopsPanic' | 'append' | 'format'>): void {
  if (!oopsPanic) return;
  const refuse = (found: string, wanted: string): never => {
    throw new SaveoopsError('usage', 'a contradiction', { where: '--oops-panic', found, wanted });
  };
  if (format === 'bzimage') {
    refuse('--format bzimage', 'oops=panic in the command line that your loader gives: this image has none');
  }
  // The kernel knows no other value and would take oops=panic beside it.
  const other = append.split(' ').find((word) => word.startsWith('oops=') && word !== oopsPanicWord);
  if (other !== undefined) refuse(`${other} in --append`, 'one of the two');
}

/** The tools go into the built-in initramfs only. Throws `usage`. */
function checkCaptureOptions({
  crashInitrd,
  dumpTools,
  captureTools,
}: Omit<BuildOptions, 'out' | 'json'>): void {
  if (crashInitrd === undefined || (!dumpTools && captureTools === undefined)) return;
  throw new SaveoopsError('usage', 'a contradiction', {
    where: dumpTools ? '--dump-tools' : '--capture-tools',
    found: `--crash-initrd ${crashInitrd}`,
    wanted: 'one of the two: the tools go into the built-in capture initramfs',
  });
}

/** "160M", "1G", "167772160". Throws `usage`. */
export function parseSize(text: string): number {
  const match = /^([0-9]+)([KMG]?)$/i.exec(text.trim());
  const factor = { '': 1, K: 1024, M: MiB, G: 1024 * MiB }[(match?.[2] ?? '').toUpperCase()];
  const size = Number(match?.[1]) * (factor ?? Number.NaN);
  if (Number.isSafeInteger(size) && size > 0 && size < 2 ** 32) return size;
  throw new SaveoopsError('usage', 'not a size', {
    where: '--crash-size',
    found: JSON.stringify(text),
    wanted: 'a number of bytes below 4 GiB with an optional K, M or G: 160M',
  });
}

async function makeFolder(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true });
  } catch (error) {
    throw fileError(path, 'a folder to write to', error);
  }
}

function report(options: BuildOptions, payload: Payload, files: readonly string[], io: BuildIo): void {
  const { manifest, com32, image } = payload;
  const size = options.format === 'bzimage' ? image.bytes.length : com32.size;
  if (options.json) {
    const result = {
      out: options.out,
      files,
      size,
      reserved: manifest.memory.size,
      memory: manifest.memory.parts,
      primary: manifest.primary.release,
      crash: manifest.crash.release,
    };
    io.out(`${JSON.stringify(result, null, 2)}\n`);
    return;
  }
  const mib = (bytes: number): string => `${(bytes / MiB).toFixed(1)} MiB`.padStart(10);
  const main = options.format === 'bzimage' ? imageFile : 'saveoops.c32';
  io.out(`Linux ${manifest.primary.release} armed, crash kernel ${manifest.crash.release}\n`);
  io.out(`${mib(size)}  ${join(options.out, main)}\n`);
  io.out(`${mib(manifest.memory.size)}  RAM reserved for the crash kernel:\n`);
  for (const part of manifest.memory.parts) io.out(`${mib(part.bytes)}    ${part.what}\n`);
  io.out(`Prove it: saveoops test ${options.out}\n`);
}
