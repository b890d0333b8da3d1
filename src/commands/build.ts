/** `saveoops build`: reads the inputs, builds the payload, writes the folder. */
import { join } from 'node:path';
import { buildCaptureInitramfs } from '../capture-initramfs/build-initramfs.js';
import { captureCommandLine } from '../capture-initramfs/command-line.js';
import { checkRowOptions, rowWords, type RowOptions } from '../capture-initramfs/in-a-row.js';
import { readDumpKey } from '../capture-initramfs/dump-key.js';
import { checkSaveOptions, saveWords, type SaveOptions } from '../capture-initramfs/save-words.js';
import { findModules } from '../capture-initramfs/module-tree.js';
import { armedAppend, checkAppend, oopsPanicWord, renderSyslinuxConfig } from '../config/syslinux-config.js';
import { SaveoopsError } from '../errors.js';
import { efiConfig } from '../image/boot-config.js';
import { parseBzImage } from '../formats/bzimage/parse-bzimage.js';
import { moduleNameOf } from '../formats/modules/modules-dep.js';
import { makeFolder, permissionsOf, readInput, writeTogether, type NewFile } from '../host/files.js';
import { signImage } from '../host/sign-image.js';
import { generator } from '../host/version.js';
import { loadKernel } from '../kernel/load-kernel.js';
import { buildPayload, foreignCrashInitrd, type InputFile, type Payload } from '../payload/build-payload.js';
import { digestInitrd, encodeManifest, writeEfiModule } from '../payload/com32-file.js';
import {
  captureFile,
  configFile,
  configTemplate,
  efiConfigFile,
  efiModuleFile,
  imageFiles,
  manifestFile,
  namesBeside,
  payloadFile,
  type BuildFormat,
} from './payload-files.js';
import { loadStubObjects } from '../stubs/stub-objects.js';
import { forJson } from '../safe-text.js';

export interface BuildOptions extends SaveOptions, RowOptions {
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
  /** File with public keys to which dumps are encrypted. */
  readonly dumpKey: string | undefined;
  readonly captureTools: string | undefined;
  /** Folder of the crash kernel's modules, or a root that has it. */
  readonly modules: string | undefined;
  /** Kernel modules that the capture initramfs gets beside the default ones. */
  readonly captureModule: readonly string[];
  /** Files: the composed image gets a signature. */
  readonly signKey: string | undefined;
  readonly signCert: string | undefined;
  readonly out: string;
  readonly format: BuildFormat;
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

/** What the files are made from: all that `build` is told but where they go. */
export type ComposeOptions = Omit<BuildOptions, 'out' | 'json'>;

/**
 * Everything that `build` writes, built and not yet written; first the payload, last its manifest, so that a folder in which
 * the two agree is whole. Throws every kind of SaveoopsError.
 */
export async function composeFiles(options: ComposeOptions): Promise<{
  readonly payload: Payload;
  readonly files: readonly NewFile[];
  readonly capture: Capture;
}> {
  checkAppend('--append', options.append);
  checkAppend('--crash-append', options.crashAppend);
  checkOopsPanic(options);
  checkSaveOptions(options);
  checkRowOptions(options);
  checkCaptureOptions(options);
  checkSigning(options);
  const crashSize = options.crashSize === undefined ? undefined : parseSize(options.crashSize);
  const names = nameFiles(options);
  const [kernelBytes, crashBytes] = await Promise.all([
    readInput(options.kernel, 'a bzImage'),
    options.crashKernel === undefined ? undefined : readInput(options.crashKernel, 'a bzImage'),
  ]);
  const crashAppend = [
    ...captureCommandLine,
    ...saveWords(options),
    ...(limitsRow(options) ? rowWords(options) : []),
    options.crashAppend,
  ]
    .filter((word) => word !== '')
    .join(' ');
  const { release } =
    crashBytes === undefined
      ? parseBzImage(kernelBytes, names.kernel)
      : parseBzImage(crashBytes, names.crashKernel);
  // A host tool decompresses the kernel; all that this process can do meanwhile is started with it.
  const [loaded, stubs, template, capture, ...initrds] = await Promise.all([
    loadKernel(kernelBytes, names.kernel),
    loadStubObjects(),
    readInput(configTemplate, 'the configuration template of the package'),
    readCapture(options, release, crashAppend),
    ...options.initrd.map(async (path, index) =>
      digestInitrd(names.initrds[index] ?? '', await readInput(path, 'an initramfs')),
    ),
  ]);
  const kernel: InputFile = { name: names.kernel, bytes: kernelBytes };
  const same = crashBytes === undefined || Buffer.compare(crashBytes, kernelBytes) === 0;
  const crashKernel: InputFile = same ? kernel : { name: names.crashKernel, bytes: crashBytes };
  const crashInitrd = capture.initramfs;
  const payload = await buildPayload({
    generator,
    kernel,
    loaded,
    initrds,
    initrdBeside: options.initrdBeside,
    append: armedAppend(options),
    plainAppend: options.append,
    oopsPanic: options.oopsPanic,
    crashKernel,
    crashInitrd,
    crashAppend,
    ownCrashAppend: options.crashAppend,
    crashSize,
    reset: { vga: options.resetVga, pic: options.resetPic },
    stubs,
  });
  const config = renderSyslinuxConfig(Buffer.from(template).toString(), {
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
  const { crashKernel: crashPath = options.kernel, crashInitrd: foreign } = options;
  const captureInputs = foreign === undefined ? [] : [foreign];
  const inputs = [options.kernel, crashPath, ...captureInputs, ...options.initrd];
  const file = async (
    name: string,
    chunks: NewFile['chunks'],
    from: readonly string[],
  ): Promise<NewFile> => ({
    name,
    chunks,
    mode: await permissionsOf(from),
  });
  const imageFile = imageFiles[options.format];
  const files = await Promise.all(
    imageFile !== undefined
      ? [file(imageFile, [await signed(payload.image.bytes, options)], inputs)]
      : [
          file(payloadFile, payload.com32.chunks, inputs),
          file(efiModuleFile, [writeEfiModule(stubs.efiModule, payload.com32)], []),
          file(kernel.name, [kernel.bytes], [options.kernel]),
          ...(same ? [] : [file(crashKernel.name, [crashKernel.bytes], [crashPath])]),
          file(captureFile, [crashInitrd.bytes], captureInputs),
          ...initrds.map(({ name, bytes }, index) =>
            file(name, [bytes], options.initrd.slice(index, index + 1)),
          ),
          file(configFile, [Buffer.from(config)], []),
          file(efiConfigFile, [Buffer.from(efiConfig(config))], []),
        ],
  );
  files.push({ name: manifestFile, chunks: [encodeManifest(payload.manifest)] });
  return { payload, files, capture };
}

/** Both or none, and only for a file that firmware looks at: syslinux.efi checks no signatures. Throws `usage`. */
function checkSigning({ signKey, signCert, format }: ComposeOptions): void {
  if (signKey === undefined && signCert === undefined) return;
  const refuse = (found: string, wanted: string): SaveoopsError =>
    new SaveoopsError('usage', 'a contradiction', { where: '--sign-key', found, wanted });
  if (signKey === undefined || signCert === undefined)
    throw refuse('one of --sign-key and --sign-cert', 'both, or none');
  if (format === 'com32') throw refuse('--format com32', '--format efi: syslinux.efi checks no signatures');
}

async function signed(image: Uint8Array, { signKey, signCert }: ComposeOptions): Promise<Uint8Array> {
  if (signKey === undefined || signCert === undefined) return image;
  return await signImage(image, { key: signKey, certificate: signCert });
}

/** Whether the capture can make Syslinux boot another entry: it counts on the disk, and only Syslinux has entries. */
function limitsRow({ maxCapturesInARow, save, format, crashInitrd }: ComposeOptions): boolean {
  return maxCapturesInARow > 0 && save !== 'none' && format === 'com32' && crashInitrd === undefined;
}

interface Capture {
  readonly initramfs: { readonly bytes: Uint8Array; readonly unpackedSize: number };
  /** Where its kernel modules are from, and how many; undefined when it has none. */
  readonly modules?: { readonly folder: string; readonly count: number } | undefined;
}

/** @param release uname -r of the crash kernel */
async function readCapture(options: ComposeOptions, release: string, append: string): Promise<Capture> {
  const { crashInitrd: path, captureTools: toolFolder } = options;
  if (path === undefined) {
    const tree = await findModules(release, options.crashKernel ?? options.kernel, options.modules);
    const initramfs = await buildCaptureInitramfs({
      dumps: options.dump !== 'none',
      bootOnce: limitsRow(options),
      dumpKey: options.dumpKey === undefined ? undefined : await readDumpKey(options.dumpKey),
      toolFolder,
      modules: tree && { tree, release, extra: options.captureModule },
    });
    const count = initramfs.files.filter((file) => moduleNameOf(file.path) !== undefined).length;
    if (tree !== undefined && count > 0) return { initramfs, modules: { folder: tree.folder, count } };
    checkNoModules(options, release, append);
    return { initramfs };
  }
  return { initramfs: foreignCrashInitrd(await readInput(path, 'an initramfs for the crash kernel')) };
}

function nameFiles(options: ComposeOptions): { kernel: string; crashKernel: string; initrds: string[] } {
  const [kernel = ''] = namesBeside([options.kernel]);
  const [crashKernel = kernel] = namesBeside(options.crashKernel === undefined ? [] : [options.crashKernel], [
    kernel,
  ]);
  return { kernel, crashKernel, initrds: namesBeside(options.initrd, [kernel, crashKernel]) };
}

/** An option that would do nothing, or that the command line speaks against, is refused. Throws `usage`. */
function checkOopsPanic({
  oopsPanic,
  append,
  format,
}: Pick<BuildOptions, 'oopsPanic' | 'append' | 'format'>): void {
  if (!oopsPanic) return;
  if (format !== 'com32') {
    throw contradiction(
      `--format ${format}`,
      'oops=panic in the command line that your loader gives: this image has none',
    );
  }
  checkOopsWord(append);
}

/** Refuses a command line with another `oops=` than --oops-panic adds. Throws `usage`. */
export function checkOopsWord(append: string): void {
  // The kernel knows no other value and would take oops=panic beside it.
  const other = append.split(' ').find((word) => word.startsWith('oops=') && word !== oopsPanicWord);
  if (other !== undefined) throw contradiction(`${other} in --append`, 'one of the two');
}

function contradiction(found: string, wanted: string): SaveoopsError {
  return new SaveoopsError('usage', 'a contradiction', { where: '--oops-panic', found, wanted });
}

/** Options for the built-in capture initramfs only, and one that would do nothing. Throws `usage`. */
function checkCaptureOptions(options: ComposeOptions): void {
  const { crashInitrd, save, dump, dumpKey, keep, captureTools, modules, captureModule } = options;
  const refuse = (where: string, found: string, wanted: string): never => {
    throw new SaveoopsError('usage', 'a contradiction', { where, found, wanted });
  };
  if (dumpKey !== undefined && dump === 'none') {
    refuse('--dump-key', '--dump none', 'a dump to encrypt: --dump filtered or --dump full');
  }
  if (crashInitrd === undefined) return;
  const given = Object.entries({
    '--save': save !== undefined,
    '--dump': dump !== 'none',
    '--keep': keep !== 0,
    '--capture-tools': captureTools !== undefined,
    '--modules': modules !== undefined,
    '--capture-module': captureModule.length > 0,
  }).find(([, isGiven]) => isGiven);
  if (given === undefined) return;
  refuse(
    given[0],
    `--crash-initrd ${crashInitrd}`,
    'one of the two: only the built-in capture initramfs heeds it',
  );
}

/**
 * A capture initramfs without kernel modules prints the log and reaches no disk. That must not come out at the crash.
 * Throws `missing-fact` when it is to save the log, or modules were asked for.
 */
function checkNoModules({ modules, captureModule }: ComposeOptions, release: string, append: string): void {
  const save = append.split(' ').findLast((word) => word.startsWith('saveoops.save='));
  const saves = save !== undefined && save !== 'saveoops.save=none';
  if (!saves && modules === undefined && captureModule.length === 0) return;
  throw new SaveoopsError('missing-fact', 'no kernel modules for the capture initramfs', {
    where: modules ?? `/lib/modules/${release}`,
    found: `none for disks or file systems${saves ? `, and ${save} needs them` : ''}`,
    wanted: `the modules of ${release}, the crash kernel`,
    hint: 'install its package, or unpack it and give the folder with --modules',
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
  io.out(`Prove it: saveoops test ${options.out}\n`);
}
