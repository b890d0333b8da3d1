/** The composed image of `saveoops build --format bzimage`, booted as any loader of bzImages boots it: QEMU -kernel. */
import { readFile, mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { logEnds } from '../src/capture-initramfs/markers.js';
import { readManifest } from '../src/image/payload-folder.js';
import { runScenario, type ScenarioResult } from '../src/machine/scenario.js';
import type { Manifest } from '../src/payload/manifest.js';
import { serialConsole } from './harness/boot.js';
import { build } from '../src/library/build.js';
import { cache } from './harness/folders.js';
import { stockKernel, type Flavour } from './harness/payloads.js';

export interface ComposedBoot {
  /** Of the folder for image and logs, under .cache/runs. */
  readonly name: string;
  readonly flavour: Flavour;
  readonly initrd?: string;
  /** Behind the serial console on the primary's command line. */
  readonly append?: string;
  readonly edit?: (image: Buffer, manifest: Manifest) => void | Promise<void>;
}

/** Builds, edits and boots; ends at a capture's end marker or when the guest ends. */
export async function bootComposed({
  name,
  flavour,
  initrd,
  append = '',
  edit,
}: ComposedBoot): Promise<ScenarioResult> {
  const folder = join(cache, 'runs', name);
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  await build({ kernel: stockKernel(flavour).vmlinuz, out: folder, format: 'bzimage' });
  const kernel = join(folder, 'saveoops.bzimage');
  if (edit !== undefined) {
    const image = await readFile(kernel);
    await edit(image, await readManifest(folder));
    await writeFile(kernel, image);
  }
  return await runScenario({
    machine: { boot: { kind: 'kernel', kernel, initrd, append: `${serialConsole} ${append}`.trimEnd() } },
    folder,
    timeout: 180,
    endAt: [new RegExp(`${logEnds}\\s*$`)],
  });
}
