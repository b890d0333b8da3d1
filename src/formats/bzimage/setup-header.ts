/**
 * The setup header of an x86 Linux kernel image: one table of fields, and its decoder.
 *
 * Source: Documentation/arch/x86/boot.rst (Documentation/x86/boot.rst before Linux 6.4), "The Real-Mode Kernel
 * Header"; struct setup_header in arch/x86/include/uapi/asm/bootparam.h. Field names are the kernel's.
 */
import { Parser } from 'binary-parser';
import type { ByteView } from '../../bytes/byte-reader.js';

/** One field: its offset from the start of the file and its size, both in bytes, and its first protocol. */
interface SetupHeaderField {
  readonly name: string;
  readonly offset: number;
  readonly size: 1 | 2 | 4 | 8;
  /** As in the header's `version` field: 0x020c is protocol 2.12; 0 means every protocol has the field. */
  readonly since: number;
}

export const setupHeaderFields = [
  { name: 'setup_sects', offset: 0x1f1, size: 1, since: 0 },
  { name: 'root_flags', offset: 0x1f2, size: 2, since: 0 },
  { name: 'syssize', offset: 0x1f4, size: 4, since: 0x0204 },
  { name: 'ram_size', offset: 0x1f8, size: 2, since: 0 },
  { name: 'vid_mode', offset: 0x1fa, size: 2, since: 0 },
  { name: 'root_dev', offset: 0x1fc, size: 2, since: 0 },
  { name: 'boot_flag', offset: 0x1fe, size: 2, since: 0 },
  { name: 'jump', offset: 0x200, size: 2, since: 0x0200 },
  { name: 'header', offset: 0x202, size: 4, since: 0x0200 },
  { name: 'version', offset: 0x206, size: 2, since: 0x0200 },
  { name: 'realmode_swtch', offset: 0x208, size: 4, since: 0x0200 },
  { name: 'start_sys_seg', offset: 0x20c, size: 2, since: 0x0200 },
  { name: 'kernel_version', offset: 0x20e, size: 2, since: 0x0200 },
  { name: 'type_of_loader', offset: 0x210, size: 1, since: 0x0200 },
  { name: 'loadflags', offset: 0x211, size: 1, since: 0x0200 },
  { name: 'setup_move_size', offset: 0x212, size: 2, since: 0x0200 },
  { name: 'code32_start', offset: 0x214, size: 4, since: 0x0200 },
  { name: 'ramdisk_image', offset: 0x218, size: 4, since: 0x0200 },
  { name: 'ramdisk_size', offset: 0x21c, size: 4, since: 0x0200 },
  { name: 'bootsect_kludge', offset: 0x220, size: 4, since: 0x0200 },
  { name: 'heap_end_ptr', offset: 0x224, size: 2, since: 0x0201 },
  { name: 'ext_loader_ver', offset: 0x226, size: 1, since: 0x0202 },
  { name: 'ext_loader_type', offset: 0x227, size: 1, since: 0x0202 },
  { name: 'cmd_line_ptr', offset: 0x228, size: 4, since: 0x0202 },
  { name: 'initrd_addr_max', offset: 0x22c, size: 4, since: 0x0203 },
  { name: 'kernel_alignment', offset: 0x230, size: 4, since: 0x0205 },
  { name: 'relocatable_kernel', offset: 0x234, size: 1, since: 0x0205 },
  { name: 'min_alignment', offset: 0x235, size: 1, since: 0x020a },
  { name: 'xloadflags', offset: 0x236, size: 2, since: 0x020c },
  { name: 'cmdline_size', offset: 0x238, size: 4, since: 0x0206 },
  { name: 'hardware_subarch', offset: 0x23c, size: 4, since: 0x0207 },
  { name: 'hardware_subarch_data', offset: 0x240, size: 8, since: 0x0207 },
  { name: 'payload_offset', offset: 0x248, size: 4, since: 0x0208 },
  { name: 'payload_length', offset: 0x24c, size: 4, since: 0x0208 },
  { name: 'setup_data', offset: 0x250, size: 8, since: 0x0209 },
  { name: 'pref_address', offset: 0x258, size: 8, since: 0x020a },
  { name: 'init_size', offset: 0x260, size: 4, since: 0x020a },
  { name: 'handover_offset', offset: 0x264, size: 4, since: 0x020b },
  { name: 'kernel_info_offset', offset: 0x268, size: 4, since: 0x020f },
] as const satisfies readonly SetupHeaderField[];

type Field = (typeof setupHeaderFields)[number];
export type SetupHeaderName = Field['name'];

/** The decoded header: 8-byte fields are bigint, all others number. */
export type SetupHeader = {
  readonly [F in Field as F['name']]: F['size'] extends 8 ? bigint : number;
};

/** File offset of the first field. */
export const SETUP_HEADER_OFFSET = 0x1f1;
/** sizeof(struct setup_header), protocol 2.15. */
export const SETUP_HEADER_SIZE = 123;
/** `header`: "HdrS". */
export const HDRS_MAGIC = 0x53726448;
/** `boot_flag` */
export const BOOT_FLAG = 0xaa55;

// loadflags
export const LOADED_HIGH = 1 << 0;
export const KASLR_FLAG = 1 << 1;
export const QUIET_FLAG = 1 << 5;
export const KEEP_SEGMENTS = 1 << 6;
export const CAN_USE_HEAP = 1 << 7;

// xloadflags
export const XLF_KERNEL_64 = 1 << 0;
export const XLF_CAN_BE_LOADED_ABOVE_4G = 1 << 1;
export const XLF_EFI_HANDOVER_32 = 1 << 2;
export const XLF_EFI_HANDOVER_64 = 1 << 3;
export const XLF_EFI_KEXEC = 1 << 4;
export const XLF_5LEVEL = 1 << 5;
export const XLF_5LEVEL_ENABLED = 1 << 6;

const parser = buildParser();

function buildParser(): Parser {
  const result = new Parser().endianness('little');
  for (const { name, size } of setupHeaderFields) {
    if (size === 1) result.uint8(name);
    else if (size === 2) result.uint16(name);
    else if (size === 4) result.uint32(name);
    else result.uint64(name);
  }
  return result;
}

/**
 * Decodes the setup header of a kernel image whose first byte is `view`'s first byte. A field that is younger
 * than the image's protocol version is given as 0, whatever bytes lie there. Throws `truncated`.
 */
export function decodeSetupHeader(view: ByteView): SetupHeader {
  // binary-parser returns short values for short input without a word, so it only ever sees an exact slice.
  const { bytes } = view.slice(SETUP_HEADER_OFFSET, SETUP_HEADER_SIZE, 'setup header');
  const header = parser.parse(Buffer.from(bytes)) as Record<SetupHeaderName, number | bigint>;
  const version = Number(header.version);
  for (const { name, size, since } of setupHeaderFields) {
    if (since > version) header[name] = size === 8 ? 0n : 0;
  }
  return header as SetupHeader;
}

/** "2.15" for 0x020f. */
export function protocolName(version: number): string {
  return `${version >> 8}.${String(version & 0xff).padStart(2, '0')}`;
}
