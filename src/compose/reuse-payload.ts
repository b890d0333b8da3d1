/**
 * What `composeFiles` gives for another initramfs of the same kernel, by way of the payload before it: the armed kernel, the
 * capture initramfs and all else are taken out of it, so that no host tool runs and nothing is searched. docs/design.md, "Repacking".
 */
import { readInput, type NewFile } from '../host/files.js';
import { damagedRegions, refuseDamage } from '../payload/check-digests.js';
import { encodeManifest } from '../payload/com32-file.js';
import { repackPayload } from '../payload/repack-payload.js';
import { takeApart } from '../payload/take-apart.js';
import { loadStubObjects } from '../stubs/stub-objects.js';
import { manifestFile, payloadFile } from './payload-files.js';
import { readInitrds } from './read-initrds.js';

/**
 * The payload and its manifest; not the files beside it.
 * @param previous a saveoops.c32 that was built with the same options from the same kernels
 * @param initrd paths of the primary's initramfs files
 * Throws `digest` when anything is damaged that the new payload would take over, `unsupported` for a payload of another
 * version, and what damaged files bring: `wrong-file`, `format`, `truncated`, `file`; `no-space`.
 */
export async function reusePayload(previous: string, initrd: readonly string[]): Promise<readonly NewFile[]> {
  const [bytes, { efiModule }] = await Promise.all([
    readInput(previous, `a ${payloadFile}`),
    loadStubObjects(),
  ]);
  const parts = takeApart(bytes, previous);
  const { primary, crash, regions } = parts.manifest;
  // Those of the initramfs files are not taken over.
  const taken = regions.filter(({ name }) => !name.startsWith('initrd-'));
  refuseDamage(damagedRegions(bytes, taken), previous);
  const initrds = await readInitrds(initrd, [primary.kernelFile, crash.kernelFile]);
  const { chunks, manifest } = repackPayload(parts, efiModule, { initrds });
  return [
    { name: payloadFile, chunks },
    { name: manifestFile, chunks: [encodeManifest(manifest)] },
  ];
}
