/** The one way through a build: inputs -> capture initramfs -> armed kernel -> image -> files. */
import { withFont } from '../capture-initramfs/build-initramfs.js';
import { captureCommandLine } from '../capture-initramfs/command-line.js';
import { rowWords } from '../capture-initramfs/in-a-row.js';
import { saveWords } from '../capture-initramfs/save-words.js';
import { armedAppend, checkAppend, renderSyslinuxConfig } from '../config/syslinux-config.js';
import { parseBzImage } from '../formats/bzimage/parse-bzimage.js';
import { permissionsOf, readInput, type NewFile } from '../host/files.js';
import { signImage } from '../host/sign-image.js';
import { step } from '../host/task.js';
import { generator } from '../host/version.js';
import { efiConfig } from '../image/boot-config.js';
import { loadKernel, type Kernel } from '../kernel/load-kernel.js';
import { findTextFont, fontBytes } from '../kernel/text-font.js';
import { buildPayload, type InputFile, type Payload } from '../payload/build-payload.js';
import { encodeManifest, type Initrd } from '../payload/com32-file.js';
import { loadStubObjects } from '../stubs/stub-objects.js';
import { readCapture, type Capture } from './capture-initramfs.js';
import { checkComposeOptions, limitsRow, type ComposeOptions } from './compose-options.js';
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
} from './payload-files.js';
import { readInitrds } from './read-initrds.js';

/** The kernels, read but not yet looked into. */
interface Kernels {
  readonly kernel: InputFile;
  /** The same object when the primary is its own crash kernel. */
  readonly crashKernel: InputFile;
  /** uname -r of the crash kernel. */
  readonly release: string;
  /** Those that they have, or would have if they were two, beside the payload. */
  readonly names: { readonly kernel: string; readonly crashKernel: string };
}

/**
 * Everything that `build` writes, built and not yet written; first the payload, last its manifest, so that a folder in which
 * the two agree is whole. Throws every kind of SaveoopsError.
 */
export async function composeFiles(options: ComposeOptions): Promise<{
  readonly payload: Payload;
  readonly files: readonly NewFile[];
  readonly capture: Capture;
}> {
  const { crashSize } = checkComposeOptions(options);
  step('Reading the kernels');
  const kernels = await readKernels(options);
  const { kernel, crashKernel, release } = kernels;
  const crashAppend = crashCommandLine(options);
  step('Decompressing the kernel, packing the capture initramfs');
  // A host tool decompresses the kernel; all that this process can do meanwhile is started with it.
  const [loaded, stubs, read, initrds] = await Promise.all([
    loadKernel(kernel.bytes, kernel.name),
    loadStubObjects(),
    readCapture(options, release, crashAppend),
    readInitrds(options.initrd, [kernels.names.kernel, kernels.names.crashKernel]),
  ]);
  const capture = await withPrimaryFont(read, options, loaded);
  step('Arming the kernel');
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
    crashInitrd: capture.initramfs,
    crashAppend,
    ownCrashAppend: options.crashAppend,
    crashSize,
    reset: { vga: options.resetVga, pic: options.resetPic },
    afterReset: options.afterReset,
    bootWatchdog: options.bootWatchdog,
    stubs,
  });
  const manifest = { name: manifestFile, chunks: [encodeManifest(payload.manifest)] };
  const files = await (imageFiles[options.format] === undefined
    ? syslinuxFiles(options, kernels, initrds, capture, payload)
    : imageFile(options, payload));
  return { payload, files: [...files, manifest], capture };
}

/** The built-in initramfs with the primary's font; another one stays as it is. */
async function withPrimaryFont(
  capture: Capture,
  { crashInitrd }: ComposeOptions,
  kernel: Kernel,
): Promise<Capture> {
  if (crashInitrd !== undefined) return capture;
  const font = fontBytes(kernel, findTextFont(kernel));
  return { ...capture, initramfs: await withFont(capture.initramfs, font) };
}

/** Throws `file` and `format`. */
async function readKernels(options: ComposeOptions): Promise<Kernels> {
  const names = nameFiles(options);
  const [kernelBytes, crashBytes] = await Promise.all([
    readInput(options.kernel, 'a bzImage'),
    options.crashKernel === undefined ? undefined : readInput(options.crashKernel, 'a bzImage'),
  ]);
  const kernel: InputFile = { name: names.kernel, bytes: kernelBytes };
  const given = crashBytes === undefined ? kernel : { name: names.crashKernel, bytes: crashBytes };
  const same = Buffer.compare(given.bytes, kernelBytes) === 0;
  const { release } = parseBzImage(given.bytes, given.name);
  return { kernel, crashKernel: same ? kernel : given, release, names };
}

function nameFiles(options: ComposeOptions): Kernels['names'] {
  const [kernel = ''] = namesBeside([options.kernel]);
  const [crashKernel = kernel] = namesBeside(options.crashKernel === undefined ? [] : [options.crashKernel], [
    kernel,
  ]);
  return { kernel, crashKernel };
}

/** What the capture needs, then what the user adds: the last word of a name counts. Throws `usage` when it is too long. */
function crashCommandLine(options: ComposeOptions): string {
  const line = [
    ...captureCommandLine,
    ...saveWords(options),
    ...(limitsRow(options) ? rowWords(options) : []),
    options.crashAppend,
  ]
    .filter((word) => word !== '')
    .join(' ');
  checkAppend('--crash-append', line);
  return line;
}

async function signed(image: Uint8Array, { signKey, signCert }: ComposeOptions): Promise<Uint8Array> {
  if (signKey === undefined || signCert === undefined) return image;
  return await signImage(image, { key: signKey, certificate: signCert });
}

/** All that the capture initramfs and both kernels are made of. */
function inputsOf({ kernel, crashKernel = kernel, crashInitrd, initrd }: ComposeOptions): readonly string[] {
  return [kernel, crashKernel, ...(crashInitrd === undefined ? [] : [crashInitrd]), ...initrd];
}

/** With the permissions of what it is made of: who could not read an input cannot read it here. */
async function newFile(name: string, chunks: NewFile['chunks'], from: readonly string[]): Promise<NewFile> {
  return { name, chunks, mode: await permissionsOf(from) };
}

/** The composed image alone, for every loader that has a configuration of its own. */
async function imageFile(options: ComposeOptions, { image }: Payload): Promise<NewFile[]> {
  const bytes = await signed(image.bytes, options);
  return [await newFile(imageFiles[options.format] ?? '', [bytes], inputsOf(options))];
}

/** The payload, and all that Syslinux finds beside it. */
async function syslinuxFiles(
  options: ComposeOptions,
  { kernel, crashKernel }: Kernels,
  initrds: readonly Initrd[],
  { initramfs }: Capture,
  { com32, manifest }: Payload,
): Promise<NewFile[]> {
  const { crashKernel: crashPath = options.kernel, crashInitrd } = options;
  const template = await readInput(configTemplate, 'the configuration template of the package');
  const config = renderSyslinuxConfig(Buffer.from(template).toString(), {
    release: manifest.primary.release,
    kernelFile: kernel.name,
    initrdFiles: initrds.map((initrd) => initrd.name),
    initrdBeside: options.initrdBeside,
    append: options.append,
    oopsPanic: options.oopsPanic,
    crashKernelFile: crashKernel.name,
    crashInitrdFile: captureFile,
    crashAppend: manifest.crash.append,
    afterReset: options.afterReset,
  });
  return await Promise.all([
    newFile(payloadFile, com32.chunks, inputsOf(options)),
    newFile(efiModuleFile, [com32.efiModule], []),
    newFile(kernel.name, [kernel.bytes], [options.kernel]),
    ...(crashKernel === kernel ? [] : [newFile(crashKernel.name, [crashKernel.bytes], [crashPath])]),
    newFile(captureFile, [initramfs.bytes], crashInitrd === undefined ? [] : [crashInitrd]),
    ...initrds.map(({ name, bytes }, index) =>
      newFile(name, [bytes], options.initrd.slice(index, index + 1)),
    ),
    newFile(configFile, [Buffer.from(config)], []),
    newFile(efiConfigFile, [Buffer.from(efiConfig(config))], []),
  ]);
}
