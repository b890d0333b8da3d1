/** A payload with another command line or initramfs, from the bytes of a built one: nothing is decompressed or armed. */
import { requireOrderlyEnd } from '../arm/orderly-end.js';
import { ByteView } from '../bytes/byte-reader.js';
import { captureCommandLine } from '../capture-initramfs/command-line.js';
import { planCrashRegion } from '../layout/crash-region.js';
import { assembleImage } from './assemble-image.js';
import { digestPart, type Part } from './part.js';
import type { CrashInitrd } from './build-payload.js';
import { commandLinePart, scratchSize } from './compose-image.js';
import { headerField, isHeaderEdit } from './header-editor.js';
import { writeCom32, type Com32File, type Initrd } from './com32-file.js';
import type { Manifest } from './manifest.js';
import type { PayloadParts } from './take-apart.js';

/** undefined: as it was. */
export interface Changes {
  /** The primary's command line when armed, and plain. */
  readonly append?: { readonly armed: string; readonly plain: string } | undefined;
  /** Those that go into the payload are digested; the others are named only. */
  readonly initrds?: readonly Initrd[] | undefined;
  /** --crash-append: replaces that of the build. */
  readonly crashAppend?: string | undefined;
  readonly crashInitrd?: CrashInitrd | undefined;
  /** --crash-size, bytes: replaces that of the build. */
  readonly crashSize?: number | undefined;
  readonly afterReset?: boolean | undefined;
  /** Seconds. */
  readonly bootWatchdog?: number | undefined;
}

/**
 * @param efiModule the module for UEFI as it was linked
 * Throws `no-space` when the crash region is too small for what is new in it, `unsupported` for a kernel without orderly end.
 */
export function repackPayload(
  { manifest, module, image, initrds }: PayloadParts,
  efiModule: Uint8Array,
  changes: Changes,
): Com32File {
  const crashAppend = crashCommandLine(manifest, changes);
  const parts = {
    ...image.parts,
    ...(crashAppend === manifest.crash.append ? {} : { CMDLINE: digestPart(commandLinePart(crashAppend)) }),
    ...(changes.crashInitrd === undefined ? {} : { CRASH_INITRD: digestPart(changes.crashInitrd.bytes) }),
  };
  const unpacked = changes.crashInitrd?.unpackedSize ?? manifest.memory.unpacked;
  const asked = changes.crashSize ?? manifest.memory.asked ?? undefined;
  const region = planCrashRegion(
    {
      kernelSize: parts.CRASH_KERNEL.bytes.length,
      initSize: crashInitSize(parts.BOOT_PARAMS),
      initrdSize: parts.CRASH_INITRD.bytes.length,
      unpackedSize: unpacked,
      scratchSize: scratchSize({
        original: image.original.bytes.length,
        compressed: parts.VMLINUX.bytes.length,
        entryStub: image.entryStub.length,
        samePrimary: manifest.crash.samePrimary,
        ownPayload: image.inside.VMLINUX !== undefined,
      }),
    },
    asked,
  );
  const afterReset = changes.afterReset ?? manifest.afterReset;
  if (afterReset) requireOrderlyEnd(manifest.facts, manifest.primary.kernelFile);
  const bootWatchdog = changes.bootWatchdog ?? manifest.bootWatchdog;
  const composed = assembleImage({ ...image, parts, region, afterReset, bootWatchdog });
  const named = changes.initrds ?? initrds;
  const embedded = manifest.primary.initrdBeside ? [] : named;
  return writeCom32(module, efiModule, composed, embedded, (digests) => ({
    ...manifest,
    primary: {
      ...manifest.primary,
      initrdFiles: changes.initrds?.map(({ name }) => name) ?? manifest.primary.initrdFiles,
      append: changes.append?.armed ?? manifest.primary.append,
      plainAppend: changes.append?.plain ?? manifest.primary.plainAppend,
    },
    crash: {
      ...manifest.crash,
      append: crashAppend,
      ownAppend: changes.crashAppend ?? manifest.crash.ownAppend,
    },
    afterReset,
    bootWatchdog,
    memory: { size: region.size, asked: asked ?? null, unpacked, parts: region.sum },
    ...digests,
    edits: [...composed.headerEdits, ...manifest.edits.filter((edit) => !isHeaderEdit(edit))],
  }));
}

/** The crash kernel's command line with what is new in it: a foreign initramfs gets no orders for ours. */
function crashCommandLine({ crash }: Manifest, { crashAppend, crashInitrd }: Changes): string {
  const fixed = crash.append.slice(0, crash.append.length - crash.ownAppend.length).trimEnd();
  const own = crashAppend ?? crash.ownAppend;
  return [crashInitrd === undefined ? fixed : captureCommandLine.join(' '), own]
    .filter((word) => word !== '')
    .join(' ');
}

/** init_size in the template of the crash kernel's boot_params, bytes. */
function crashInitSize({ bytes }: Part): number {
  return new ByteView(bytes, 'boot_params').u32(headerField('init_size').offset, 'init_size');
}
