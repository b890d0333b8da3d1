/**
 * From parts with their digests to the composed image (compose-image.ts says what it is): places, plan, setup header.
 * `build` has the parts from kernel and stubs, `repack` from an image that was built.
 */
import { alignUp } from '../bytes/align.js';
import { ByteView } from '../bytes/byte-reader.js';
import { sha256Hex } from '../bytes/digests.js';
import type { KernelEdit } from '../kernel/evidence.js';
import type { CrashRegion } from '../layout/crash-region.js';
import {
  offsetOf,
  partDef,
  partNames,
  planDef,
  planFlags,
  regionPlaces,
  type PartName,
} from '../stubs/shared-layout.js';
import { StructureWriter } from '../stubs/structure-writer.js';
import { addEfiEntries, type EfiEntries, type EfiPlaces } from './efi-entries.js';
import { checkOnlyDeclared } from './check-composed.js';
import { HeaderEditor } from './header-editor.js';
import { keptParts, type KeptRegion } from './kept-parts.js';
import type { Part } from './part.js';

const page = 4096;
const sixteen = 16;
/** FileAlignment of PE images: their last section ends at a multiple of it. */
const peFileAlignment = 512;
/** Where every loader puts a bzImage that is loaded high. */
export const loadAddress = 0x100000;

export interface Assembly {
  /** Setup sectors and protected-mode part of the primary's own bzImage. */
  readonly setup: Uint8Array;
  readonly original: { readonly bytes: Uint8Array; readonly sha256: string };
  /** `init_size` of the original, bytes. */
  readonly initSize: number;
  readonly entryStub: Uint8Array;
  /** Offset of the plan in the entry stub. */
  readonly planAt: number;
  /** Where the entry stub is entered under UEFI. */
  readonly efiEntries: EfiEntries;
  /** With all fields set but those that say where parts lie. */
  readonly plan: StructureWriter;
  readonly parts: Readonly<Record<PartName, Part>>;
  /** Parts that the original holds, and where, bytes: they are not stored again. */
  readonly inside: Readonly<Partial<Record<PartName, number>>>;
  /** Offset of image_checked in the entry stub. */
  readonly checkedMark: number;
  readonly region: CrashRegion;
  /** --after-reset: the entry stub leaves a mark, and the COM32 module looks for one. */
  readonly afterReset: boolean;
  /** --boot-watchdog, seconds; 0: none. */
  readonly bootWatchdog: number;
}

export interface ImageRegion {
  readonly name: string;
  readonly offset: number;
  readonly size: number;
  readonly purpose: string;
  /** Lower-case hexadecimal. */
  readonly sha256: string;
}

export interface ComposedImage {
  readonly bytes: Uint8Array;
  /** Bytes of setup sectors: the protected-mode part follows. */
  readonly setupSize: number;
  /** Offset of the entry stub in the protected-mode part. */
  readonly stubOffset: number;
  /** File offset of what the COM32 module sets once it has checked the leading bytes. */
  readonly checkedMark: number;
  /** End of what the entry stub does not check itself (setup, original, stub), as a file offset. */
  readonly leadingSize: number;
  /** File offsets; disjoint, ascending, covering all but padding. */
  readonly regions: readonly ImageRegion[];
  readonly headerEdits: readonly KernelEdit[];
  /** undefined: without --after-reset. */
  readonly kept: KeptRegion | undefined;
}

const purposes: Readonly<Record<PartName, string>> = {
  VMLINUX: 'primary kernel and its relocation lists, LZ4',
  CRASH_KERNEL: 'crash kernel, protected-mode part',
  CRASH_INITRD: 'capture initramfs',
  CRASH_STUB: 'crash stub: from panic() to the crash kernel',
  BOOT_PARAMS: 'boot_params of the crash kernel, template',
  CMDLINE: 'command line of the crash kernel',
  NOTES: 'ELF notes: VMCOREINFO; NT_PRSTATUS is added at the crash',
  FONT: 'font of the primary kernel, for messages on a frame buffer',
  FIXUPS: 'offsets of the addresses in the notes that KASLR moves',
  EDITS: 'what arms the primary kernel: bytes that must be there, bytes for their place',
};

/** Throws a RangeError for a region that was planned for a smaller crash kernel: a bug. */
export function assembleImage(assembly: Assembly): ComposedImage {
  const { setup, original, entryStub, inside, parts, region } = assembly;
  if (parts.CRASH_KERNEL.bytes.length > region.workOffset) throw new RangeError('region plan too old');
  const stubOffset = alignUp(original.bytes.length, page);
  let at = stubOffset + alignUp(entryStub.length, page);
  const placed = partNames.map((name) => {
    const shared = inside[name];
    const offset = shared ?? at;
    if (shared === undefined) at = alignUp(at + parts[name].bytes.length, page);
    return { name, ...parts[name], offset, shared: shared !== undefined };
  });
  const setupSize = setup.length;
  const size = alignUp(setupSize + at, peFileAlignment) - setupSize;
  const bytes = new Uint8Array(setupSize + size);
  bytes.set(setup, 0);
  bytes.set(original.bytes, setupSize);
  bytes.set(entryStub, setupSize + stubOffset);
  for (const part of placed) if (!part.shared) bytes.set(part.bytes, setupSize + part.offset);
  const header = new HeaderEditor(bytes);
  editSetupHeader(header, assembly.initSize, stubOffset, size);
  const efi = addEfiEntries(header, { stubAt: setupSize + stubOffset, setupSize }, assembly.efiEntries);
  bytes.set(
    planPlaces(assembly, { stubOffset, size, placed, efi }),
    setupSize + stubOffset + assembly.planAt,
  );
  checkOnlyDeclared(bytes, setup, header.edits);
  const leadingSize = setup.length + stubOffset + entryStub.length;
  const regions: ImageRegion[] = [
    {
      name: 'setup',
      offset: 0,
      size: setup.length,
      purpose: 'setup sectors of the primary kernel',
      sha256: sha256Hex(bytes.subarray(0, setup.length)),
    },
    {
      name: 'primary',
      offset: setup.length,
      size: original.bytes.length,
      purpose: primaryPurpose(inside),
      sha256: original.sha256,
    },
    {
      name: 'entry-stub',
      offset: setup.length + stubOffset,
      size: entryStub.length,
      purpose: 'entry stub with the plan it applies',
      sha256: sha256Hex(bytes.subarray(setup.length + stubOffset, leadingSize)),
    },
    ...placed
      .filter((part) => !part.shared)
      .map((part) => ({
        name: regionName(part.name),
        offset: setup.length + part.offset,
        size: part.bytes.length,
        purpose: purposes[part.name],
        sha256: Buffer.from(part.sha256).toString('hex'),
      })),
  ];
  return {
    bytes,
    setupSize,
    stubOffset,
    checkedMark: setupSize + stubOffset + assembly.checkedMark,
    leadingSize,
    regions,
    headerEdits: header.edits,
    kept: keptRegion(assembly),
  };
}

function primaryPurpose(inside: Assembly['inside']): string {
  const also = [
    ...(inside.VMLINUX === undefined ? [] : ['what is armed']),
    ...(inside.CRASH_KERNEL === undefined ? [] : ['crash kernel']),
  ];
  return ['untouched primary kernel: unarmed fallback', ...also].join(' and ');
}

/** Name of a part's region in the manifest. */
function regionName(part: PartName): string {
  return part.toLowerCase().replace('_', '-');
}

interface PlacedPart extends Part {
  readonly name: PartName;
  readonly offset: number;
}

interface ImagePlaces {
  readonly stubOffset: number;
  /** Of the protected-mode part, bytes. */
  readonly size: number;
  readonly placed: readonly PlacedPart[];
  readonly efi: EfiPlaces;
}

/** Offsets in the crash region, bytes; 0 for what does not lie there. */
function placesInRegion({ initrdOffset }: CrashRegion): Record<PartName, number> {
  return {
    VMLINUX: 0,
    FIXUPS: 0,
    EDITS: 0,
    CRASH_KERNEL: regionPlaces.CRASH_KERNEL,
    CRASH_INITRD: initrdOffset,
    CRASH_STUB: regionPlaces.CRASH_STUB,
    BOOT_PARAMS: regionPlaces.BOOT_PARAMS,
    CMDLINE: regionPlaces.CMDLINE,
    NOTES: regionPlaces.NOTES,
    FONT: regionPlaces.FONT,
  };
}

function planField({ plan }: Assembly, name: string): number {
  return new ByteView(plan.bytes, 'plan').u32(offsetOf(planDef, name), name);
}

function keptRegion(assembly: Assembly): KeptRegion | undefined {
  const { parts, region, afterReset } = assembly;
  if (!afterReset) return undefined;
  return {
    resetEntry: regionPlaces.CRASH_STUB + planField(assembly, 'reset_entry'),
    regionSize: region.size,
    parts: keptParts(parts, placesInRegion(region)),
  };
}

function planPlaces(assembly: Assembly, { stubOffset, size, placed, efi }: ImagePlaces): Uint8Array {
  const { plan, region, setup, original, efiEntries, afterReset, bootWatchdog } = assembly;
  const places = placesInRegion(region);
  const otherFlags = planField(assembly, 'flags') & ~planFlags.AFTER_RESET;
  plan.set('flags', otherFlags | (afterReset ? planFlags.AFTER_RESET : 0));
  plan.set('boot_watchdog', bootWatchdog);
  plan.set('stub_offset', stubOffset);
  placed.forEach((each, index) => {
    const part = new StructureWriter(partDef);
    part.set('offset', each.offset);
    part.set('size', each.bytes.length);
    part.set('xxh32', each.xxh32);
    part.set('place', places[each.name]);
    part.put('sha256', each.sha256);
    plan.put('part', part.bytes, index);
  });
  plan.set('region_size', region.size);
  plan.set('work_offset', region.workOffset);
  plan.set('setup_size', setup.length);
  plan.set('original_size', original.bytes.length);
  plan.set('image_size', size);
  plan.set('original_handover', efi.handover);
  plan.set('original_xloadflags', new HeaderEditor(setup).header('xloadflags'));
  plan.set('original_pe_entry', efi.peEntry);
  plan.set('pe_stub_address', efi.stubAddress);
  plan.set('handover_entry', efiEntries.handover);
  plan.set('pe_entry', efiEntries.pe);
  plan.set('text_end', efiEntries.textEnd);
  return plan.seal();
}

/** Changes the three header fields that make the loader read and enter the whole image. */
function editSetupHeader(edit: HeaderEditor, initSize: number, stubOffset: number, size: number): void {
  edit.setHeader('syssize', size / sixteen);
  edit.setHeader('code32_start', loadAddress + stubOffset);
  // RAM from the load address on that the loader keeps free: all of the image, and what the original needs.
  edit.setHeader('init_size', Math.max(initSize, alignUp(size, page)));
}
