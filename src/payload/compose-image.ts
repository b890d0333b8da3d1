/**
 * The composed image: the primary's own bzImage, whole and first, then what Saveoops adds. To any loader it is a
 * bzImage; only code32_start tells it from the original: it points at the entry stub behind the original's
 * protected-mode part (boot.rst, "code32_start": the address to jump to in protected mode, a hook for loaders).
 *
 *   setup sectors          the original's, with code32_start, syssize and init_size changed
 *   protected-mode part    the original's, untouched: what boots when anything fails, and, by default, the crash
 *                          kernel too
 *   entry stub             with struct plan in it
 *   parts                  in the order of partNames, each on a 4 KiB boundary, but for those that the original holds
 *
 * UEFI enters by handover or as a PE image: efi-entries.ts. A loader that enters elsewhere (the 64-bit entry at 0x200)
 * finds the untouched kernel and boots it unarmed.
 */
import { alignUp } from '../bytes/align.js';
import { ByteWriter } from '../bytes/byte-writer.js';
import type { ArmedKernel } from '../arm/arm-kernel.js';
import { sectionsPerRoot, type SynthesisedVmcoreinfo } from '../arm/vmcoreinfo.js';
import { SaveoopsError } from '../errors.js';
import type { BzImage } from '../formats/bzimage/parse-bzimage.js';
import { XLF_5LEVEL, XLF_5LEVEL_ENABLED } from '../formats/bzimage/setup-header.js';
import type { ConstantPages } from '../kernel/constant-pages.js';
import { imageWindow } from '../kernel/image-window.js';
import type { Kernel } from '../kernel/load-kernel.js';
import type { CrashRegion } from '../layout/crash-region.js';
import { assembleImage, loadAddress, type ComposedImage } from './assemble-image.js';
import { digestPart, type Part } from './part.js';
import { crashBootParams } from './crash-boot-params.js';
import { sha256Hex, xxh32 } from '../bytes/digests.js';
import type { EfiEntries } from './efi-entries.js';
import { editsPart, type StoredKernel } from './stored-kernel.js';
import { startupPattern, stubDecompresses } from './startup-pattern.js';
import {
  kernelSymbolNames,
  moveDef,
  planDef,
  planFlags,
  planMagic,
  sharedVersion,
  type PartName,
} from '../stubs/shared-layout.js';
import { StructureWriter } from '../stubs/structure-writer.js';
import { requireSymbol, type FlatStub, type StubObjects } from '../stubs/stub-objects.js';

const page = 4096;
const largePage = 0x200000;

export interface DeviceResets {
  readonly vga: boolean;
  readonly pic: boolean;
}

export interface ImageInputs {
  readonly kernel: Kernel;
  readonly armed: ArmedKernel;
  readonly stored: StoredKernel;
  readonly vmcoreinfo: SynthesisedVmcoreinfo;
  readonly constants: ConstantPages;
  readonly crashKernel: BzImage;
  /** True when crashKernel is the primary's own bzImage. */
  readonly samePrimary: boolean;
  readonly crashInitrd: Uint8Array;
  readonly crashCommandLine: string;
  readonly region: CrashRegion;
  /** What the crash stub resets before it starts the crash kernel. */
  readonly reset: DeviceResets;
  /** --after-reset. */
  readonly afterReset: boolean;
  /** --boot-watchdog, seconds. */
  readonly bootWatchdog: number;
  /** The primary's own 8x16 font (src/kernel/text-font.ts); empty: it has none. */
  readonly font: Uint8Array;
  readonly stubs: StubObjects;
}

/** Sizes in bytes of what the entry stub works on at boot. */
export interface BootSizes {
  /** Protected-mode part of the primary's own bzImage. */
  readonly original: number;
  /** The kernel that is decompressed at boot. */
  readonly compressed: number;
  readonly entryStub: number;
  /** Whether the bzImage is the crash kernel, too: then a copy of it lies in the region anyway. */
  readonly samePrimary: boolean;
  /** Whether what is decompressed is the bzImage's own payload. */
  readonly ownPayload: boolean;
}

/** RAM in bytes that the entry stub needs as scratch at boot. */
export function scratchSize(sizes: BootSizes): number {
  const { original, compressed, entryStub, samePrimary, ownPayload } = sizes;
  const copies = [
    entryStub,
    ...(samePrimary ? [] : [original]),
    ...(samePrimary && ownPayload ? [] : [compressed]),
  ];
  return copies.reduce((sum, size) => sum + alignUp(size, page), 16 * page);
}

/** Throws `unsupported` or `no-space` when the parts do not fit the boot protocol's or the region's limits. */
export function composeImage(inputs: ImageInputs): ComposedImage {
  const { kernel, stubs, samePrimary, region } = inputs;
  const { setup, protectedMode, header } = kernel.bzImage;
  checkLoadAddress(kernel);
  const contents = Object.entries(partContents(inputs)).map(([name, bytes]) => [name, digestPart(bytes)]);
  const parts = { ...Object.fromEntries(contents), VMLINUX: kernelPart(inputs.stored) } as Record<
    PartName,
    Part
  >;
  const sha256 = samePrimary
    ? Buffer.from(parts.CRASH_KERNEL.sha256).toString('hex')
    : sha256Hex(protectedMode);
  return assembleImage({
    setup,
    original: { bytes: protectedMode, sha256 },
    initSize: header.init_size,
    entryStub: stubs.entry.bytes,
    planAt: Number(requireSymbol(stubs.entry.symbols, 'plan', 'entry.elf').value),
    efiEntries: efiEntries(stubs.entry),
    plan: planFacts(inputs),
    parts,
    inside: {
      ...(samePrimary ? { CRASH_KERNEL: 0 } : {}),
      ...(inputs.stored.inside === undefined ? {} : { VMLINUX: inputs.stored.inside }),
    },
    checkedMark: Number(requireSymbol(stubs.entry.symbols, 'image_checked', 'entry.elf').value),
    region,
    afterReset: inputs.afterReset,
    bootWatchdog: inputs.bootWatchdog,
  });
}

function efiEntries({ symbols }: FlatStub): EfiEntries {
  const offset = (name: string): number => Number(requireSymbol(symbols, name, 'entry.elf').value);
  return { handover: offset('efi_handover64'), pe: offset('efi_pe64'), textEnd: offset('text_end') };
}

/** Nothing of it is left at the crash: a digest is for the manifest, which has those of the runs of the file. */
function kernelPart({ bytes, inside }: StoredKernel): Part {
  return inside === undefined
    ? digestPart(bytes)
    : { bytes, xxh32: xxh32(bytes), sha256: new Uint8Array(32) };
}

/** The crash kernel's command line as stored. */
export function commandLinePart(line: string): Uint8Array {
  return Buffer.from(`${line}\0`, 'latin1');
}

function checkLoadAddress({ bzImage, image }: Kernel): void {
  if (bzImage.header.code32_start === loadAddress) return;
  throw new SaveoopsError('unsupported', 'the kernel is not loaded where Linux bzImages are', {
    where: `${image.source}, setup header, code32_start`,
    found: `0x${bzImage.header.code32_start.toString(16)}`,
    wanted: `0x${loadAddress.toString(16)}`,
  });
}

function partContents(inputs: ImageInputs): Omit<Record<PartName, Uint8Array>, 'VMLINUX'> {
  const { vmcoreinfo, stubs } = inputs;
  const fixups = ByteWriter.ofSize(4 * vmcoreinfo.symbolDigits.length);
  vmcoreinfo.symbolDigits.forEach((offset, index) => {
    fixups.u32(4 * index, offset);
  });
  return {
    CRASH_KERNEL: inputs.crashKernel.protectedMode,
    CRASH_INITRD: inputs.crashInitrd,
    CRASH_STUB: stubs.crash.bytes,
    BOOT_PARAMS: crashBootParams(inputs.crashKernel),
    CMDLINE: commandLinePart(inputs.crashCommandLine),
    NOTES: vmcoreinfo.note,
    FONT: inputs.font,
    FIXUPS: fixups.bytes,
    EDITS: editsPart(inputs.armed.edited),
  };
}

/** The plan but for what assembleImage() sets. */
function planFacts(inputs: ImageInputs): StructureWriter {
  const { kernel, armed, samePrimary } = inputs;
  const { unpacked } = inputs.stored;
  const { image, relocations, bzImage } = kernel;
  const { header } = bzImage;
  const plan = new StructureWriter(planDef);
  plan.set('magic', planMagic);
  plan.set('version', sharedVersion);
  const listEntries = relocations.words64.length + relocations.inverse32.length + relocations.words32.length;
  const textToEnd = Number(armed.end - image.virtual);
  const relocatable = listEntries > 0 && header.relocatable_kernel !== 0;
  const level5 = XLF_5LEVEL | XLF_5LEVEL_ENABLED;
  const useLevel5 = (header.xloadflags & level5) === level5;
  plan.set('original_syssize', header.syssize);
  plan.set('original_init_size', header.init_size);
  plan.set('load_physical_addr', image.physical);
  plan.set('link_text', image.virtual);
  plan.set('kernel_alignment', header.kernel_alignment);
  // As extract_kernel(): the larger of the loaded image and the running one, in whole 2 MiB pages.
  plan.set('kernel_size', alignUp(Math.max(unpacked.size, textToEnd), largePage));
  plan.set('kernel_image_size', imageWindow(kernel));
  plan.set('flat_size', image.bytes.length);
  plan.set('entry_offset', image.entryOffset);
  plan.set('unpacked_size', unpacked.size);
  unpacked.moves.forEach(({ from, to, size }, index) => {
    const move = new StructureWriter(moveDef);
    move.set('from', from);
    move.set('to', to);
    move.set('size', size);
    plan.put('move', move.bytes, index);
  });
  plan.set('relocs_64_at', unpacked.words64At);
  plan.set('relocs_inverse_32_at', unpacked.inverse32At);
  plan.set('relocs_32_at', unpacked.words32At);
  plan.set('relocs_64', relocations.words64.length);
  plan.set('relocs_inverse_32', relocations.inverse32.length);
  plan.set('relocs_32', relocations.words32.length);
  plan.set(
    'flags',
    (relocatable ? planFlags.KASLR : 0) |
      (useLevel5 ? planFlags.LEVEL5 : 0) |
      (samePrimary ? 0 : planFlags.OWN_CRASH_KERNEL) |
      (inputs.reset.vga ? planFlags.RESET_VGA : 0) |
      (inputs.reset.pic ? planFlags.RESET_PIC : 0) |
      (stubDecompresses(bzImage) ? planFlags.STUB_DECOMPRESSES : 0),
  );
  plan.set('hook_slots', armed.hookSlots - image.virtual);
  plan.set('nosave_word', armed.nosaveWord - image.virtual);
  plan.set('text_to_end', textToEnd);
  plan.set('constants', inputs.constants.offset);
  plan.set('constant_pages', inputs.constants.pages);
  plan.set('smp_stop', armed.smpStop);
  plan.set('smp_crash_stop', armed.smpCrashStop);
  plan.set('crash_shutdown', armed.crashShutdown ?? 0n);
  plan.set('hook_crash_shutdown', armed.hookCrashShutdown);
  plan.set('current_task', armed.currentTask?.pointer ?? 0n);
  plan.set('task_pid', armed.currentTask?.pid ?? 0);
  kernelSymbolNames.forEach((name, index) => {
    plan.set('symbol', armed.symbols.get(name) ?? 0n, index);
  });
  plan.set('sections_per_root', sectionsPerRoot(kernel));
  const { symbols } = inputs.stubs.crash;
  plan.set('reset_entry', requireSymbol(symbols, 'reset_entry', 'crash.elf').value);
  const startup = startupPattern(kernel);
  plan.put('startup', startup.bytes);
  plan.put('startup_mask', startup.mask);
  return plan;
}
