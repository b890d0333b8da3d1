/**
 * The composed image: the primary's own bzImage, whole and first, then what Saveoops adds. To any loader it is a
 * bzImage; only code32_start tells it from the original: it points at the entry stub behind the original's
 * protected-mode part (boot.rst, "code32_start": the address to jump to in protected mode, a hook for loaders).
 *
 *   setup sectors          the original's, with code32_start, syssize and init_size changed
 *   protected-mode part    the original's, untouched: what boots when anything fails, and, by default, the crash
 *                          kernel too
 *   entry stub             with struct plan in it
 *   parts                  in the order of partNames, each on a 4 KiB boundary
 *
 * A loader that enters elsewhere (EFI handover, the 64-bit entry at 0x200) finds the untouched kernel and boots it
 * unarmed.
 */
import { alignUp } from '../bytes/align.js';
import { ByteWriter } from '../bytes/byte-writer.js';
import type { ArmedKernel } from '../arm/arm-kernel.js';
import { sectionsPerRoot, type SynthesisedVmcoreinfo } from '../arm/vmcoreinfo.js';
import { SaveoopsError } from '../errors.js';
import type { BzImage } from '../formats/bzimage/parse-bzimage.js';
import { setupHeaderFields, XLF_5LEVEL, XLF_5LEVEL_ENABLED } from '../formats/bzimage/setup-header.js';
import type { Kernel } from '../kernel/load-kernel.js';
import type { CrashRegion } from '../layout/crash-region.js';
import { crashBootParams } from './crash-boot-params.js';
import { sha256, xxh32 } from '../bytes/digests.js';
import type { KernelEdit } from '../kernel/evidence.js';
import {
  kernelSymbolNames,
  partDef,
  partNames,
  planDef,
  planFlags,
  planMagic,
  regionPlaces,
  sharedVersion,
  type PartName,
} from '../stubs/shared-layout.js';
import { StructureWriter } from '../stubs/structure-writer.js';
import { requireSymbol, type StubObjects } from '../stubs/stub-objects.js';

const page = 4096;
const largePage = 0x200000;
const sixteen = 16;
/** KERNEL_IMAGE_SIZE with CONFIG_RANDOMIZE_BASE: arch/x86/include/asm/page_64_types.h. */
const kernelImageSize = 1 << 30;
/** Where every loader puts a bzImage that is loaded high. */
const loadAddress = 0x100000;

export interface DeviceResets {
  readonly vga: boolean;
  readonly pic: boolean;
}

export interface ImageInputs {
  readonly kernel: Kernel;
  readonly armed: ArmedKernel;
  /** The armed image and its relocation lists, LZ4 legacy frames. */
  readonly compressed: Uint8Array;
  readonly vmcoreinfo: SynthesisedVmcoreinfo;
  readonly crashKernel: BzImage;
  /** True when crashKernel is the primary's own bzImage. */
  readonly samePrimary: boolean;
  readonly crashInitrd: Uint8Array;
  readonly crashCommandLine: string;
  readonly region: CrashRegion;
  /** What the crash stub resets before it starts the crash kernel. */
  readonly reset: DeviceResets;
  /** Link-time virtual address of the font for the VGA reset, when there is one. */
  readonly font: bigint | undefined;
  readonly stubs: StubObjects;
}

export interface ImageRegion {
  readonly name: string;
  readonly offset: number;
  readonly size: number;
  readonly purpose: string;
}

export interface ComposedImage {
  readonly bytes: Uint8Array;
  /** Bytes of setup sectors: the protected-mode part follows. */
  readonly setupSize: number;
  /** Offset of the entry stub in the protected-mode part. */
  readonly stubOffset: number;
  /** End of what the entry stub does not check itself (setup, original, stub), as a file offset. */
  readonly leadingSize: number;
  /** File offsets; disjoint, ascending, covering all but padding. */
  readonly regions: readonly ImageRegion[];
  readonly headerEdits: readonly KernelEdit[];
}

const purposes: Readonly<Record<PartName, string>> = {
  VMLINUX: 'armed primary kernel and its relocation lists, LZ4',
  CRASH_KERNEL: 'crash kernel, protected-mode part',
  CRASH_INITRD: 'capture initramfs',
  CRASH_STUB: 'crash stub: from panic() to the crash kernel',
  BOOT_PARAMS: 'boot_params of the crash kernel, template',
  CMDLINE: 'command line of the crash kernel',
  NOTES: 'ELF notes: VMCOREINFO; NT_PRSTATUS is added at the crash',
  FIXUPS: 'offsets of the addresses in the notes that KASLR moves',
};

/** RAM in bytes that the entry stub needs as scratch at boot. */
export function scratchSize(inputs: Pick<ImageInputs, 'kernel' | 'compressed' | 'stubs'>): number {
  const { kernel, compressed, stubs } = inputs;
  const saved = alignUp(kernel.bzImage.protectedMode.length, page);
  return alignUp(stubs.entry.bytes.length, page) + alignUp(compressed.length, page) + saved + 16 * page;
}

/** Throws `unsupported` or `no-space` when the parts do not fit the boot protocol's or the region's limits. */
export function composeImage(inputs: ImageInputs): ComposedImage {
  const { kernel, stubs, samePrimary, crashKernel } = inputs;
  const setup = kernel.bzImage.setup;
  const original = kernel.bzImage.protectedMode;
  const stubOffset = alignUp(original.length, page);
  const contents = partContents(inputs);
  let at = stubOffset + alignUp(stubs.entry.bytes.length, page);
  const placed = partNames.map((name) => {
    const bytes = contents[name];
    const shared = name === 'CRASH_KERNEL' && samePrimary;
    const offset = shared ? 0 : at;
    if (!shared) at = alignUp(at + bytes.length, page);
    return { name, bytes, offset, shared };
  });
  const size = alignUp(at, sixteen);
  const plan = writePlan(inputs, stubOffset, placed);

  const bytes = new Uint8Array(setup.length + size);
  bytes.set(setup, 0);
  bytes.set(original, setup.length);
  bytes.set(stubs.entry.bytes, setup.length + stubOffset);
  const planAt = Number(requireSymbol(stubs.entry.symbols, 'plan', 'entry.elf').value);
  bytes.set(plan, setup.length + stubOffset + planAt);
  for (const part of placed) if (!part.shared) bytes.set(part.bytes, setup.length + part.offset);
  const headerEdits = editHeader(bytes, kernel, stubOffset, size);

  const regions: ImageRegion[] = [
    { name: 'setup', offset: 0, size: setup.length, purpose: 'setup sectors of the primary kernel' },
    {
      name: 'primary',
      offset: setup.length,
      size: original.length,
      purpose: `untouched primary kernel: unarmed fallback${samePrimary ? ' and crash kernel' : ''}`,
    },
    {
      name: 'entry-stub',
      offset: setup.length + stubOffset,
      size: stubs.entry.bytes.length,
      purpose: 'entry stub with the plan it applies',
    },
    ...placed
      .filter((part) => !part.shared)
      .map((part) => ({
        name: part.name.toLowerCase().replace('_', '-'),
        offset: setup.length + part.offset,
        size: part.bytes.length,
        purpose: purposes[part.name],
      })),
  ];
  if (crashKernel.protectedMode.length > inputs.region.workOffset)
    throw new RangeError('region plan too old');
  const leadingSize = setup.length + stubOffset + stubs.entry.bytes.length;
  return { bytes, setupSize: setup.length, stubOffset, leadingSize, regions, headerEdits };
}

function partContents(inputs: ImageInputs): Record<PartName, Uint8Array> {
  const { vmcoreinfo, stubs } = inputs;
  const fixups = ByteWriter.ofSize(4 * vmcoreinfo.symbolDigits.length);
  vmcoreinfo.symbolDigits.forEach((offset, index) => {
    fixups.u32(4 * index, offset);
  });
  return {
    VMLINUX: inputs.compressed,
    CRASH_KERNEL: inputs.crashKernel.protectedMode,
    CRASH_INITRD: inputs.crashInitrd,
    CRASH_STUB: stubs.crash.bytes,
    BOOT_PARAMS: crashBootParams(inputs.crashKernel),
    CMDLINE: Buffer.from(`${inputs.crashCommandLine}\0`, 'latin1'),
    NOTES: vmcoreinfo.note,
    FIXUPS: fixups.bytes,
  };
}

interface PlacedPart {
  readonly name: PartName;
  readonly bytes: Uint8Array;
  readonly offset: number;
}

function writePlan(inputs: ImageInputs, stubOffset: number, placed: readonly PlacedPart[]): Uint8Array {
  const { kernel, armed, region, samePrimary } = inputs;
  const { image, relocations, bzImage } = kernel;
  const { header } = bzImage;
  const places: Record<PartName, number> = {
    VMLINUX: 0,
    FIXUPS: 0,
    CRASH_KERNEL: regionPlaces.CRASH_KERNEL,
    CRASH_INITRD: region.initrdOffset,
    CRASH_STUB: regionPlaces.CRASH_STUB,
    BOOT_PARAMS: regionPlaces.BOOT_PARAMS,
    CMDLINE: regionPlaces.CMDLINE,
    NOTES: regionPlaces.NOTES,
  };
  const plan = new StructureWriter(planDef);
  plan.set('magic', planMagic);
  plan.set('version', sharedVersion);
  plan.set('stub_offset', stubOffset);
  placed.forEach(({ name, bytes, offset }, index) => {
    const part = new StructureWriter(partDef);
    part.set('offset', offset);
    part.set('size', bytes.length);
    part.set('xxh32', xxh32(bytes));
    part.set('place', places[name]);
    part.put('sha256', sha256(bytes));
    plan.put('part', part.bytes, index);
  });
  const listEntries = relocations.words64.length + relocations.inverse32.length + relocations.words32.length;
  const loaded = image.bytes.length + 4 * listEntries;
  const textToEnd = Number(armed.end - image.virtual);
  const relocatable = listEntries > 0 && header.relocatable_kernel !== 0;
  const level5 = XLF_5LEVEL | XLF_5LEVEL_ENABLED;
  const useLevel5 = (header.xloadflags & level5) === level5 && armed.level4KernelPgt !== undefined;
  plan.set('original_syssize', header.syssize);
  plan.set('original_init_size', header.init_size);
  plan.set('load_physical_addr', image.physical);
  plan.set('link_text', image.virtual);
  plan.set('kernel_alignment', header.kernel_alignment);
  // As extract_kernel(): the larger of the loaded image and the running one, in whole 2 MiB pages.
  plan.set('kernel_size', alignUp(Math.max(loaded, textToEnd), largePage));
  plan.set('kernel_image_size', kernelImageSize);
  plan.set('flat_size', image.bytes.length);
  plan.set('entry_offset', image.entryOffset);
  plan.set('relocs_64', relocations.words64.length);
  plan.set('relocs_inverse_32', relocations.inverse32.length);
  plan.set('relocs_32', relocations.words32.length);
  plan.set(
    'flags',
    (relocatable ? planFlags.KASLR : 0) |
      (useLevel5 ? planFlags.LEVEL5 : 0) |
      (samePrimary ? 0 : planFlags.OWN_CRASH_KERNEL) |
      (inputs.reset.vga ? planFlags.RESET_VGA : 0) |
      (inputs.reset.pic ? planFlags.RESET_PIC : 0),
  );
  plan.set('hook_slots', armed.hookSlots - image.virtual);
  plan.set('level3_kernel_pgt', armed.level3KernelPgt - image.virtual);
  plan.set('level4_kernel_pgt', useLevel5 ? (armed.level4KernelPgt ?? 0n) - image.virtual : 0n);
  plan.set('text_to_end', textToEnd);
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
  plan.set('region_size', region.size);
  plan.set('font', inputs.font === undefined ? 0n : inputs.font - image.virtual);
  plan.set('work_offset', region.workOffset);
  return plan.seal();
}

/** Changes the three header fields that make the loader read and enter the whole image. */
function editHeader(bytes: Uint8Array, kernel: Kernel, stubOffset: number, size: number): KernelEdit[] {
  const { header } = kernel.bzImage;
  const values: Readonly<Record<string, number>> = {
    syssize: size / sixteen,
    code32_start: loadAddress + stubOffset,
    // RAM from the load address on that the loader keeps free: all of the image, and what the original needs.
    init_size: Math.max(header.init_size, alignUp(size, page)),
  };
  if (header.code32_start !== loadAddress) {
    throw new SaveoopsError('unsupported', 'the kernel is not loaded where Linux bzImages are', {
      where: `${kernel.image.source}, setup header, code32_start`,
      found: `0x${header.code32_start.toString(16)}`,
      wanted: `0x${loadAddress.toString(16)}`,
    });
  }
  const writer = new ByteWriter(bytes);
  return Object.entries(values).flatMap(([name, value]) => {
    const field = setupHeaderFields.find((each) => each.name === name);
    if (field === undefined) throw new RangeError(`no setup header field ${name}`);
    const before = Buffer.from(bytes.subarray(field.offset, field.offset + field.size)).toString('hex');
    writer.u32(field.offset, value);
    const after = Buffer.from(bytes.subarray(field.offset, field.offset + field.size)).toString('hex');
    const address = `file offset 0x${field.offset.toString(16)}`;
    return before === after ? [] : [{ what: `setup header ${name}`, address, before, after }];
  });
}
