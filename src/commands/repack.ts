/** `saveoops repack`: another command line or initramfs in a payload, without the work of a build. */
import { dirname, join, resolve } from 'node:path';
import { parseCrashSize } from '../config/parse-size.js';
import { armedAppend, checkAppend, renderSyslinuxConfig } from '../config/syslinux-config.js';
import { SaveoopsError } from '../errors.js';
import { efiConfig } from '../image/boot-config.js';
import { loadStubObjects } from '../stubs/stub-objects.js';
import { makeFolder, permissionsOf, readInput, writeAtomic, writeTogether } from '../host/files.js';
import { isFolder } from '../host/presence.js';
import { encodeManifest, type Com32File, type Initrd } from '../payload/com32-file.js';
import type { Manifest } from '../payload/manifest.js';
import { foreignCrashInitrd } from '../payload/build-payload.js';
import { repackPayload } from '../payload/repack-payload.js';
import { takeApart, type PayloadParts } from '../payload/take-apart.js';
import { checkOopsWord } from '../compose/compose-options.js';
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

/** undefined: as it was. */
export interface RepackOptions {
  /** A saveoops.c32. */
  readonly payload: string;
  /** A folder, or a file whose name ends with .c32. */
  readonly out: string;
  readonly append: string | undefined;
  readonly initrd: readonly string[] | undefined;
  readonly crashAppend: string | undefined;
  readonly crashInitrd: string | undefined;
  readonly crashSize: string | undefined;
  readonly afterReset: boolean | undefined;
}

/**
 * Writes what `build` would write with these values. Throws `wrong-file`, `digest` or `unsupported` for a payload that
 * is none, damaged, or of another version, `no-space` for a crash region that is too small, `file`. Nothing is written
 * unless everything that is to be written is known.
 */
export async function runRepack(
  options: RepackOptions,
  io: { readonly out: (text: string) => void },
): Promise<void> {
  const { append, crashAppend } = options;
  if (append !== undefined) checkAppend('--append', append);
  if (crashAppend !== undefined) checkAppend('--crash-append', crashAppend);
  const crashSize = options.crashSize === undefined ? undefined : parseCrashSize(options.crashSize);
  const parts = takeApart(await readInput(options.payload, 'a saveoops.c32'), options.payload);
  const { primary, crash } = parts.manifest;
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
  });
  checkAppend('--crash-append', payload.manifest.crash.append);
  if (options.out.endsWith('.c32') && !(await isFolder(options.out))) {
    await writeAtomic(options.out, payload.chunks, await permissionsOf(inputsOf(options)));
  } else {
    const crash = crashInitrd?.bytes ?? parts.image.parts.CRASH_INITRD.bytes;
    await writeFolder(options, parts, payload, initrds, crash);
  }
  io.out(report(options, payload));
}

/** What the new payload is made of, for its permissions. */
function inputsOf({ payload, initrd = [], crashInitrd }: RepackOptions): string[] {
  return [payload, ...initrd, ...(crashInitrd === undefined ? [] : [crashInitrd])];
}

/** Everything that a payload folder holds. What the payload does not hold comes from the folder that it lies in. */
async function writeFolder(
  options: RepackOptions,
  { manifest: before, initrds: embedded }: PayloadParts,
  payload: Com32File,
  initrds: readonly Initrd[] | undefined,
  crashInitrd: Uint8Array,
): Promise<void> {
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
  const files = [
    { name: payloadFile, chunks: payload.chunks, mode },
    { name: efiModuleFile, chunks: [payload.efiModule] },
    ...copied,
    { name: captureFile, chunks: [crashInitrd], mode },
    ...stored.map(({ name, bytes }) => ({ name, chunks: [bytes], mode })),
    { name: configFile, chunks: [Buffer.from(config)] },
    { name: efiConfigFile, chunks: [Buffer.from(efiConfig(config))] },
    { name: manifestFile, chunks: [encodeManifest(payload.manifest)] },
  ];
  await makeFolder(out);
  await writeTogether(out, files);
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

function configOf(template: string, { primary, crash }: Manifest): string {
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
  });
}

function report({ out, append }: RepackOptions, { size, manifest }: Com32File): string {
  const mib = (bytes: number): string => `${(bytes / (1 << 20)).toFixed(1)} MiB`;
  const lines = [`${out}: ${mib(size)}, ${mib(manifest.memory.size)} of RAM reserved`];
  if (out.endsWith('.c32') && append !== undefined) {
    lines.push(`The primary's command line is in ${configFile}; the armed entry needs`);
    lines.push(`  APPEND ${manifest.primary.append}`);
  }
  return `${lines.join('\n')}\n`;
}
