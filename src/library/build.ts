/** A payload from kernels and initramfs. */
import { composeFiles } from '../compose/compose-files.js';
import { composeDefaults, type ComposeOptions } from '../compose/compose-options.js';
import { imageFiles, payloadFile } from '../compose/payload-files.js';
import { makeFolder, writeTogether } from '../host/files.js';
import { asTask, step, type RunOptions } from '../host/task.js';

/** What to build. All but `kernel` and `out` has the default that `saveoops build` has. */
export interface BuildRequest extends Partial<ComposeOptions> {
  /** The primary kernel's bzImage. */
  readonly kernel: string;
  /** Folder to write to; it is made when it is missing. */
  readonly out: string;
  /** Build everything and write nothing. */
  readonly dryRun?: boolean | undefined;
}

/** What has been built; `saveoops build --json` prints it. */
export interface BuildResult {
  readonly version: 1;
  readonly out: string;
  /** true: nothing was written. */
  readonly dryRun: boolean;
  /** Names of the files in `out`, in the order in which they got them. */
  readonly files: readonly string[];
  /** The one of them that is the payload, or the composed image. */
  readonly payload: string;
  /** Its bytes. */
  readonly size: number;
  /** RAM that the primary kernel will not have, bytes. */
  readonly reserved: number;
  /** The sum that shows why. */
  readonly memory: readonly { readonly what: string; readonly bytes: number }[];
  /** Where the capture initramfs has kernel modules from; null: it has none. */
  readonly modules: { readonly folder: string; readonly count: number } | null;
  /** `uname -r` of the primary kernel. */
  readonly primary: string;
  /** `uname -r` of the crash kernel. */
  readonly crash: string;
}

/**
 * Builds a payload and writes it to a folder. Nothing is written unless the whole payload was built.
 *
 * @throws {@link SaveoopsError} of every kind; `invariant` is a bug in Saveoops.
 */
export async function build(request: BuildRequest, run: RunOptions = {}): Promise<BuildResult> {
  return await asTask(run, async () => {
    const { out, dryRun = false, ...given } = request;
    const options = withDefaults(given);
    const { payload, files, capture } = await composeFiles(options);
    if (!dryRun) {
      step(`Writing ${out}`);
      await makeFolder(out);
      await writeTogether(out, files);
    }
    const { manifest, com32, image } = payload;
    return {
      version: 1,
      out,
      dryRun,
      files: files.map(({ name }) => name),
      payload: imageFiles[options.format] ?? payloadFile,
      size: options.format === 'com32' ? com32.size : image.bytes.length,
      reserved: manifest.memory.size,
      memory: manifest.memory.parts,
      modules: capture.modules ?? null,
      primary: manifest.primary.release,
      crash: manifest.crash.release,
    };
  });
}

/** An option that is given as undefined is one that is not given. */
function withDefaults(given: Partial<ComposeOptions> & Pick<ComposeOptions, 'kernel'>): ComposeOptions {
  const said = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
  return { ...composeDefaults, kernel: given.kernel, ...said };
}
