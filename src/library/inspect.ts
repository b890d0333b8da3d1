/**
 * What is in a payload, with every digest checked: of saveoops.c32 from the file alone; of
 * saveoops-efi.c32, the module for UEFI, with the saveoops.c32 beside it that it reads; of a folder both.
 */
import { basename, join } from 'node:path';
import { ByteView } from '../bytes/byte-reader.js';
import { SaveoopsError } from '../errors.js';
import { readInput } from '../host/files.js';
import { exists, isFolder } from '../host/presence.js';
import { checkEdits } from '../payload/check-edits.js';
import { checkComposed } from '../payload/check-composed.js';
import { damage, damagedRegions, refuseDamage } from '../payload/check-digests.js';
import { efiLoadTable, isSealed, payloadLoadTable, readManifest } from '../payload/com32-file.js';
import { takeApart } from '../payload/take-apart.js';
import { efiModuleFile, payloadFile } from '../compose/payload-files.js';
import { sha256Hex } from '../bytes/digests.js';
import { headerField } from '../payload/header-editor.js';
import type { Manifest } from '../payload/manifest.js';
import { asTask, step, type RunOptions } from '../host/task.js';

/** Bytes that a unit of syssize stands for. */
const sixteen = 16;

/** What is in a payload, and whether it is whole. */
export interface Inspection {
  /** As in the payload itself: what one build decided. */
  readonly manifest: Manifest;
  /** Names of what is damaged: of regions, or the file of the module for UEFI. */
  readonly damaged: readonly string[];
  /** Why the payload is not to be trusted; undefined: all of it is as it was built. */
  readonly refusal: SaveoopsError | undefined;
}

const efiSuffix = '-efi.c32';
const wantedPayload = `a ${payloadFile}`;

/**
 * Takes a payload apart, checks every digest, and compares it with what its manifest says.
 *
 * @param file a saveoops.c32; a saveoops-efi.c32 with the saveoops.c32 beside it; or their folder
 * @returns `refusal` of kind `digest` names every damaged region; of kind `format` or `invariant` it is for headers that are not those
 * that the manifest declares, or for a kernel that the payload's edits do not fit
 * @throws {@link SaveoopsError} of kind `file`, `wrong-file`, `truncated`, or `format` for a module and a payload of two builds
 */
export async function inspect(file: string, run: RunOptions = {}): Promise<Inspection> {
  return await asTask(run, async () => {
    const { payload, module } = await readFiles(file);
    const { path, bytes } = payload;
    const manifest = readManifest(bytes, path);
    step(`Checking ${path}`);
    const damaged = damagedRegions(bytes, manifest.regions);
    const isModuleGood = module === undefined || isGoodModule(module, payload, manifest);
    const names = damaged.map(({ name }) => name);
    return {
      manifest,
      damaged: isModuleGood ? names : [...names, efiModuleFile],
      refusal: await refusalOf(async () => {
        refuseDamage(damaged, path);
        checkHeaders(bytes, manifest, path);
        await checkEdits(takeApart(bytes, path), path);
        if (!isModuleGood)
          throw damage(module.path, `${basename(module.path)}: other bytes than were written`);
      }),
    };
  });
}

async function refusalOf(check: () => Promise<void>): Promise<SaveoopsError | undefined> {
  try {
    await check();
    return undefined;
  } catch (error) {
    if (error instanceof SaveoopsError) return error;
    throw error;
  }
}

export interface ReadFile {
  readonly path: string;
  readonly bytes: Uint8Array;
}

interface EfiModule extends ReadFile {
  readonly loadTable: Uint8Array;
}

/** A saveoops.c32, by its own name, by that of the module beside it, or by their folder. Throws as inspect() does. */
export async function readPayload(path: string): Promise<ReadFile> {
  return (await readFiles(path)).payload;
}

/** Throws `file`, `wrong-file`, `truncated`, `format`. */
async function readFiles(
  path: string,
): Promise<{ readonly payload: ReadFile; readonly module: EfiModule | undefined }> {
  if (await isFolder(path)) {
    const beside = join(path, efiModuleFile);
    const module = (await exists(beside)) ? asEfiModule(await read(beside)) : undefined;
    return { payload: await read(join(path, payloadFile), wantedPayload), module };
  }
  const file = await read(path);
  const module = asEfiModule(file);
  if (module === undefined) return { payload: file, module };
  if (path.endsWith(efiSuffix)) {
    return { payload: await read(`${path.slice(0, -efiSuffix.length)}.c32`, wantedPayload), module };
  }
  throw new SaveoopsError('wrong-file', 'a module for UEFI under a name by which it finds no payload', {
    where: path,
    found: basename(path),
    wanted: `a name that ends with ${efiSuffix}: NAME${efiSuffix} reads the NAME.c32 beside it`,
    hint: `rename it to ${efiModuleFile}`,
  });
}

async function read(path: string, wanted = `a ${payloadFile} or ${efiModuleFile}`): Promise<ReadFile> {
  return { path, bytes: await readInput(path, wanted) };
}

/** undefined: another file. Throws `wrong-file`, `truncated`, `format`. */
function asEfiModule({ path, bytes }: ReadFile): EfiModule | undefined {
  const loadTable = efiLoadTable(bytes, path);
  return loadTable && { path, bytes, loadTable };
}

/** Throws `format` when the module is not of the payload's build: it would find wrong sums, and boot the plain entry. */
function isGoodModule(
  { path, bytes, loadTable }: EfiModule,
  payload: ReadFile,
  { efiModule }: Manifest,
): boolean {
  const found = sha256Hex(bytes);
  if (found === efiModule.sha256) return true;
  const ofPayload = payloadLoadTable(payload.bytes, payload.path);
  if (!isSealed(loadTable) || Buffer.compare(loadTable, ofPayload) === 0) return false;
  throw new SaveoopsError('format', 'the module for UEFI and the payload are of two builds', {
    where: path,
    found: `a load table for another file than ${payload.path}; SHA-256 ${found}`,
    wanted: `SHA-256 ${efiModule.sha256}`,
    hint: 'copy both files from where they were built, or build again',
  });
}

/** Reads a payload and checks every digest. Throws `file`, `wrong-file`, `truncated`, or `digest`. */
export async function verifyPayload(file: string): Promise<void> {
  const bytes = await readInput(file, wantedPayload);
  refuseDamage(damagedRegions(bytes, readManifest(bytes, file).regions), file);
}

/** The composed image's headers are those that the manifest declares. Throws `format` or `invariant`. */
function checkHeaders(bytes: Uint8Array, { regions, edits }: Manifest, file: string): void {
  const setup = regions.find(({ name }) => name === 'setup');
  if (setup === undefined) return;
  const image = bytes.subarray(setup.offset);
  const size = setup.size + sixteen * new ByteView(image, file).u32(headerField('syssize').offset, 'syssize');
  checkComposed(image.subarray(0, size), setup.size, edits, file);
}
