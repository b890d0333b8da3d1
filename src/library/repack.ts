/** Another command line or initramfs in a payload, without the work of a build. */
import { basename, dirname, join, resolve } from 'node:path';
import { parseCrashSize } from '../config/parse-size.js';
import { armedAppend, checkAppend, renderSyslinuxConfig } from '../config/syslinux-config.js';
import { SaveoopsError } from '../errors.js';
import { efiConfig } from '../image/boot-config.js';
import { loadStubObjects } from '../stubs/stub-objects.js';
import { makeFolder, permissionsOf, readInput, writeTogether, type NewFile } from '../host/files.js';
import { isFolder } from '../host/presence.js';
import { asTask, step, type RunOptions } from '../host/task.js';
import { encodeManifest, type Com32File, type Initrd } from '../payload/com32-file.js';
import type { Manifest } from '../payload/manifest.js';
import { foreignCrashInitrd } from '../payload/build-payload.js';
import { repackPayload } from '../payload/repack-payload.js';
import { takeApart, type PayloadParts } from '../payload/take-apart.js';
import { checkBootWatchdog, checkOopsWord } from '../compose/compose-options.js';
import {
  captureFile,
  configFile,
  configTemplate,
  efiConfigFile,
  efiModuleFile,
  manifestFile,
  payloadFile,
} from '../compose/payload-files.js';
import { readInitrds } from '../compose/read-initrds.js';

/** What to replace. A value that is not given stays as it is. */
export interface RepackRequest {
  /** A saveoops.c32. */
  readonly payload: string;
  /** A folder, or a file whose name ends with .c32. It may be where the payload is. */
  readonly out: string;
  /** The primary kernel's command line. */
  readonly append?: string | undefined;
  /** Initramfs files of the primary kernel, in place of all that the payload has. */
  readonly initrd?: readonly string[] | undefined;
  /** Words added to the crash kernel's command line, in place of those that the build added. */
  readonly crashAppend?: string | undefined;
  /** The crash kernel's initramfs. */
  readonly crashInitrd?: string | undefined;
  /** RAM to reserve, "160M". */
  readonly crashSize?: string | undefined;
  /** Whether a kernel that is reset is captured by the next boot. */
  readonly afterReset?: boolean | undefined;
  /** Seconds of the boot watchdog; 0: none. */
  readonly bootWatchdog?: number | undefined;
  /** Do everything and write nothing. */
  readonly dryRun?: boolean | undefined;
}

/** What the new payload is; `saveoops repack --json` prints it. */
export interface RepackResult {
  readonly version: 1;
  readonly out: string;
  /** true: nothing was written. */
  readonly dryRun: boolean;
  /** Names of the files that are new, in the order in which they got them. */
  readonly files: readonly string[];
  /** Bytes of the payload. */
  readonly size: number;
  /** RAM that the primary kernel will not have, bytes. */
  readonly reserved: number;
  /** The primary kernel's command line in the armed entry. */
  readonly append: string;
}

/**
 * Writes what `build` would write with these values, about as fast as the payload is copied. Nothing is written unless everything
 * that is to be written is known.
 *
 * @throws {@link SaveoopsError} of kind `wrong-file`, `digest` or `unsupported` for a payload that is none, damaged, or of another
 * version, `no-space` for a crash region that is too small, `usage`, `file`
 */
export async function repack(request: RepackRequest, run: RunOptions = {}): Promise<RepackResult> {
  return await asTask(run, async () => await repackNow(request));
}

async function repackNow(options: RepackRequest): Promise<RepackResult> {
  const { append, crashAppend, out, dryRun = false } = options;
  if (append !== undefined) checkAppend('--append', append);
  if (crashAppend !== undefined) checkAppend('--crash-append', crashAppend);
  const crashSize = options.crashSize === undefined ? undefined : parseCrashSize(options.crashSize);
  step(`Reading ${options.payload}`);
  const parts = takeApart(await readInput(options.payload, 'a saveoops.c32'), options.payload);
  const { primary, crash } = parts.manifest;
  checkBootWatchdog({
    bootWatchdog: options.bootWatchdog ?? parts.manifest.bootWatchdog,
    afterReset: options.afterReset ?? parts.manifest.afterReset,
  });
  if (append !== undefined && primary.oopsPanic) checkOopsWord(append);
  const crashInitrd =
    options.crashInitrd === undefined
      ? undefined
      : foreignCrashInitrd(await readInput(options.crashInitrd, 'an initramfs for the crash kernel'));
  const initrds =
    options.initrd === undefined
      ? undefined
      : await readInitrds(options.initrd, [primary.kernelFile, crash.kernelFile]);
  const { efiModule } = await loadStubObjects();
  const payload = repackPayload(parts, efiModule, {
    append: append === undefined ? undefined : { armed: armedAppend({ ...primary, append }), plain: append },
    initrds,
    crashAppend,
    crashInitrd,
    crashSize,
    afterReset: options.afterReset,
    bootWatchdog: options.bootWatchdog,
  });
  checkAppend('--crash-append', payload.manifest.crash.append);
  const isFile = isPayloadName(out) && !(await isFolder(out));
  const files: readonly NewFile[] = isFile
    ? [{ name: basename(out), chunks: payload.chunks, mode: await permissionsOf(inputsOf(options)) }]
    : await folderFiles(
        options,
        parts,
        payload,
        initrds,
        crashInitrd?.bytes ?? parts.image.parts.CRASH_INITRD.bytes,
      );
  if (!dryRun) {
    step(`Writing ${out}`);
    if (!isFile) await makeFolder(out);
    await writeTogether(isFile ? dirname(out) : out, files);
  }
  return {
    version: 1,
    out,
    dryRun,
    files: files.map(({ name }) => name),
    size: payload.size,
    reserved: payload.manifest.memory.size,
    append: payload.manifest.primary.append,
  };
}

/** Whether a name is that of a payload alone, and not of its folder. */
export function isPayloadName(out: string): boolean {
  return out.endsWith('.c32');
}

/** What the new payload is made of, for its permissions. */
function inputsOf({ payload, initrd = [], crashInitrd }: RepackRequest): string[] {
  return [payload, ...initrd, ...(crashInitrd === undefined ? [] : [crashInitrd])];
}

/** Everything that a payload folder holds. What the payload does not hold comes from the folder that it lies in. */
async function folderFiles(
  options: RepackRequest,
  { manifest: before, initrds: embedded }: PayloadParts,
  payload: Com32File,
  initrds: readonly Initrd[] | undefined,
  crashInitrd: Uint8Array,
): Promise<NewFile[]> {
  const { payload: path, out } = options;
  const from = dirname(path);
  const config = await renderConfig(from, before, payload.manifest);
  const inPlace = resolve(from) === resolve(out);
  const stored = initrds ?? embedded;
  const mode = await permissionsOf(inputsOf(options));
  const besides = [
    before.primary.kernelFile,
    ...(before.crash.samePrimary ? [] : [before.crash.kernelFile]),
    ...(initrds === undefined && before.primary.initrdBeside ? before.primary.initrdFiles : []),
  ];
  const copied = inPlace
    ? []
    : await Promise.all(
        besides.map(async (name) => ({
          name,
          chunks: [await readInput(join(from, name), 'a file that build wrote beside the payload')],
          mode: await permissionsOf([join(from, name)]),
        })),
      );
  return [
    { name: payloadFile, chunks: payload.chunks, mode },
    { name: efiModuleFile, chunks: [payload.efiModule] },
    ...copied,
    { name: captureFile, chunks: [crashInitrd], mode },
    ...stored.map(({ name, bytes }) => ({ name, chunks: [bytes], mode })),
    { name: configFile, chunks: [Buffer.from(config)] },
    { name: efiConfigFile, chunks: [Buffer.from(efiConfig(config))] },
    { name: manifestFile, chunks: [encodeManifest(payload.manifest)] },
  ];
}

/** The new syslinux.cfg. Throws `unsupported` when the old one is not what build wrote: its changes would be lost. */
async function renderConfig(folder: string, before: Manifest, after: Manifest): Promise<string> {
  const template = Buffer.from(
    await readInput(configTemplate, 'the configuration template of the package'),
  ).toString();
  const path = join(folder, configFile);
  const found = Buffer.from(await readInput(path, 'the configuration that build wrote')).toString();
  if (found === configOf(template, before)) return configOf(template, after);
  throw new SaveoopsError('unsupported', 'the configuration was changed after the build', {
    where: path,
    found: 'other text than build wrote for this payload',
    wanted: 'the text that build wrote, to write it with the new values',
    hint: `repack to a file (--out NAME.c32), and change ${configFile} by hand`,
  });
}

function configOf(template: string, { primary, crash, afterReset }: Manifest): string {
  return renderSyslinuxConfig(template, {
    release: primary.release,
    kernelFile: primary.kernelFile,
    initrdFiles: primary.initrdFiles,
    initrdBeside: primary.initrdBeside,
    append: primary.plainAppend,
    oopsPanic: primary.oopsPanic,
    crashKernelFile: crash.kernelFile,
    crashInitrdFile: captureFile,
    crashAppend: crash.append,
    afterReset,
  });
}
