/**
 * What the COM32 module must find in the crash region of a kernel that was running before it believes any of it
 * (stubs/com32/after-reset.c): digests of the parts as the entry stub has placed them.
 */
import { headerField } from './header-editor.js';
import { sha256 } from '../bytes/digests.js';
import { keptPartNames, type PartName } from '../stubs/shared-layout.js';
import type { Part } from './part.js';

export interface KeptPart {
  /** Offset in the crash region, bytes. */
  readonly place: number;
  readonly size: number;
  readonly sha256: Uint8Array;
}

/** What the load table tells the module about a reset. */
export interface KeptRegion {
  /** Of the crash stub, offset in the region, bytes. */
  readonly resetEntry: number;
  readonly regionSize: number;
  /** In the order of keptPartNames. */
  readonly parts: readonly KeptPart[];
}

/** Fields of boot_params outside the setup header (zero-page.rst): offset and size, bytes. */
const otherFields = [
  { offset: 0, size: 0x40 }, // screen_info
  { offset: 0x70, size: 8 }, // acpi_rsdp_addr
  { offset: 0x1e8, size: 1 }, // e820_entries
  { offset: 0x2d0, size: 128 * 20 }, // e820_table
];

/** The template of boot_params with what the entry stub sets zero: finish_crash_parameters() and crash_e820(). */
function withoutFacts(bootParams: Uint8Array): Uint8Array {
  const bytes = Uint8Array.from(bootParams);
  const header = (['code32_start', 'ramdisk_image', 'ramdisk_size', 'cmd_line_ptr'] as const).map(
    headerField,
  );
  for (const { offset, size } of [...otherFields, ...header]) bytes.fill(0, offset, offset + size);
  return bytes;
}

/** @param places offsets in the crash region, bytes */
export function keptParts(
  parts: Readonly<Record<PartName, Part>>,
  places: Readonly<Record<PartName, number>>,
): KeptPart[] {
  return keptPartNames.map((name) => {
    const { bytes, sha256: digest } = parts[name];
    const place = places[name];
    if (name === 'BOOT_PARAMS') return { place, size: bytes.length, sha256: sha256(withoutFacts(bytes)) };
    // The entry stub adds words where its final NUL is.
    if (name === 'CMDLINE') return { place, size: bytes.length - 1, sha256: sha256(bytes.subarray(0, -1)) };
    return { place, size: bytes.length, sha256: digest };
  });
}
