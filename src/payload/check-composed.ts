/**
 * The independent check of a composed image's headers, as src/arm/check-armed.ts is of the armed kernel: reads them back, trusting
 * nothing but the edits that the manifest declares. `build` and `repack` make it of what they write, `inspect` of any payload.
 */
import { SaveoopsError } from '../errors.js';
import { isPe, parsePe } from '../formats/pe/parse-pe.js';
import type { KernelEdit } from '../kernel/evidence.js';
import { checkEfiEntries } from './efi-entries.js';
import { undoHeaderEdits } from './header-editor.js';

/**
 * @param bytes begin with the setup sectors and end with the composed image
 * @param setupSize bytes of setup sectors
 * @param edits of the manifest: those of headers are looked at
 * @param source names the image, for errors
 * @returns the setup sectors of the original
 * Throws `format` where the image does not have the declared bytes, `invariant` for UEFI entries that do not lead to our code.
 */
export function checkComposed(
  bytes: Uint8Array,
  setupSize: number,
  edits: readonly KernelEdit[],
  source: string,
): Uint8Array {
  const setup = undoHeaderEdits(bytes.subarray(0, setupSize), edits, source);
  if (isPe(setup)) {
    checkEfiEntries(bytes, parsePe(setup, source, bytes.length), parsePe(bytes, source).entry);
  }
  return setup;
}

/** The same, and nothing else differs from the setup sectors of the original. Throws `invariant` as well. */
export function checkOnlyDeclared(bytes: Uint8Array, setup: Uint8Array, edits: readonly KernelEdit[]): void {
  const source = 'the composed image';
  const undone = checkComposed(bytes, setup.length, edits, source);
  if (Buffer.compare(undone, setup) === 0) return;
  throw new SaveoopsError('invariant', 'the headers of the composed image are not what was intended', {
    where: `${source}, offset ${undone.findIndex((byte, at) => byte !== setup[at])}`,
    found: 'an undeclared difference',
    wanted: 'only the declared bytes changed',
    hint: 'this is a bug in Saveoops: please report it',
  });
}

/** By which ways a loader enters the image, from the edits that the manifest declares. */
export function declaredEntries(edits: readonly KernelEdit[]): readonly string[] {
  const entries: readonly (readonly [string, string])[] = [
    ['setup header code32_start', '32-bit'],
    ['setup header handover_offset', 'EFI handover'],
    ['PE header AddressOfEntryPoint', 'PE'],
  ];
  return entries.filter(([edit]) => edits.some(({ what }) => what === edit)).map(([, name]) => name);
}
