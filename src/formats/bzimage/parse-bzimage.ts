/**
 * A bzImage: setup sectors, then protected-mode code that carries the compressed kernel.
 *
 * Source: Documentation/arch/x86/boot.rst, "Loading The Rest of The Kernel" and "Details of Header Fields".
 * Bytes after the protected-mode code (signatures, alignment) are allowed and left alone.
 */
import { ByteView } from '../../bytes/byte-reader.js';
import { SaveoopsError } from '../../errors.js';
import { recognise } from './recognise.js';
import {
  BOOT_FLAG,
  HDRS_MAGIC,
  LOADED_HIGH,
  SETUP_HEADER_OFFSET,
  SETUP_HEADER_SIZE,
  XLF_KERNEL_64,
  decodeSetupHeader,
  protocolName,
  type SetupHeader,
} from './setup-header.js';

/** A parsed image; every Uint8Array shares memory with the bytes that were parsed. */
export interface BzImage {
  /** Names the file in error messages. */
  readonly source: string;
  readonly header: SetupHeader;
  /** Boot sector and setup code: everything before the protected-mode code. */
  readonly setup: Uint8Array;
  /** What a boot loader puts at code32_start: decompressor and payload. */
  readonly protectedMode: Uint8Array;
  /** The compressed vmlinux and, unless gzip, its trailing u32 size. */
  readonly payload: Uint8Array;
  /** `uname -r`: "6.1.0-56-amd64". */
  readonly release: string;
  /** The whole text at kernel_version: release, builder and build. */
  readonly version: string;
}

const SECTOR = 512;
/** The oldest protocol with xloadflags, which says whether the kernel is 64-bit. */
const OLDEST_PROTOCOL = 0x020c;

/**
 * Parses a 64-bit bzImage.
 * @param source names the file in errors
 * Throws `wrong-file`, `unsupported`, `truncated` or `format`.
 */
export function parseBzImage(bytes: Uint8Array, source: string): BzImage {
  const view = new ByteView(bytes, source);
  requireHdrS(view);
  const header = decodeSetupHeader(view);
  requireSupported(header, source);

  // "setup_sects: The size of the setup code in 512-byte sectors. If this field is 0, the real value is 4." The
  // boot sector comes on top of it.
  const setupSize = ((header.setup_sects || 4) + 1) * SECTOR;
  const setup = view.slice(0, setupSize, `setup code (${setupSize / SECTOR} sectors)`).bytes;

  const systemSize = header.syssize * 16;
  const available = view.length - setupSize;
  // syssize counts whole 16-byte paragraphs, so a last paragraph may be short; anything more is missing.
  if (systemSize >= available + 16) {
    throw new SaveoopsError('truncated', `${source} ends before its kernel does`, {
      where: `${source}, protected-mode code at 0x${setupSize.toString(16)}`,
      found: `${available} bytes after the setup code`,
      wanted: `${systemSize} bytes (syssize 0x${header.syssize.toString(16)} paragraphs)`,
      hint: 'the file is cut off: install the kernel package again',
    });
  }
  const protectedMode = bytes.subarray(setupSize, setupSize + Math.min(systemSize, available));
  const version = readVersion(view, header, setup.length);
  return {
    source,
    header,
    setup,
    protectedMode,
    payload: readPayload(header, protectedMode, source),
    release: version.split(' ', 1)[0] ?? '',
    version,
  };
}

function requireHdrS(view: ByteView): void {
  const { bytes, source } = view;
  const whole = view.length >= SETUP_HEADER_OFFSET + SETUP_HEADER_SIZE;
  const magic = whole ? view.u32(0x202, 'header') : 0;
  const flag = whole ? view.u16(0x1fe, 'boot_flag') : 0;
  if (magic === HDRS_MAGIC && flag === BOOT_FLAG) return;
  const kind = recognise(bytes);
  const words = `boot_flag 0x${flag.toString(16)}, header 0x${magic.toString(16)}`;
  throw new SaveoopsError('wrong-file', `${source} is not a bzImage`, {
    where: `${source}, setup header at 0x1f1`,
    found: kind ?? (whole ? words : `${view.length} bytes, too few for a setup header`),
    wanted: 'boot_flag 0xaa55 and "HdrS" at 0x202: a file like /boot/vmlinuz-6.1.0-56-amd64',
    hint: 'give the vmlinuz file of a Debian linux-image package',
  });
}

function requireSupported(header: SetupHeader, source: string): void {
  const refuse = (summary: string, where: string, found: string, wanted: string, hint: string): never => {
    throw new SaveoopsError('unsupported', `${source} ${summary}`, {
      where: `${source}, setup header, ${where}`,
      found,
      wanted,
      hint,
    });
  };
  if (header.version < OLDEST_PROTOCOL) {
    refuse(
      'speaks too old a boot protocol',
      'version',
      `protocol ${protocolName(header.version)}`,
      `protocol ${protocolName(OLDEST_PROTOCOL)} (Linux 3.8) or newer`,
      'use a newer kernel',
    );
  }
  if ((header.loadflags & LOADED_HIGH) === 0) {
    refuse(
      'is a zImage',
      'loadflags',
      `0x${header.loadflags.toString(16)}: LOADED_HIGH is not set`,
      'a bzImage, which is loaded at 1 MiB or above',
      'build the kernel with "make bzImage"',
    );
  }
  if ((header.xloadflags & XLF_KERNEL_64) === 0) {
    refuse(
      'is a 32-bit kernel',
      'xloadflags',
      `0x${header.xloadflags.toString(16)}: XLF_KERNEL_64 is not set`,
      'an x86-64 kernel',
      'use an amd64 linux-image package',
    );
  }
}

function readPayload(header: SetupHeader, protectedMode: Uint8Array, source: string): Uint8Array {
  const { payload_offset: offset, payload_length: length } = header;
  if (length > 0 && offset + length <= protectedMode.length) {
    return protectedMode.subarray(offset, offset + length);
  }
  throw new SaveoopsError('format', `the compressed kernel lies outside ${source}`, {
    where: `${source}, setup header, payload_offset and payload_length`,
    found: `offset 0x${offset.toString(16)}, length 0x${length.toString(16)}`,
    wanted: `a part of the protected-mode code, 0x${protectedMode.length.toString(16)} bytes`,
    hint: 'the setup header is damaged: install the kernel package again',
  });
}

function readVersion(view: ByteView, header: SetupHeader, setupSize: number): string {
  // "kernel_version: If set to a nonzero value, contains a pointer to a NUL-terminated human-readable kernel
  // version number string, less 0x200. [...] This value should be less than (0x200*setup_sects)".
  const at = header.kernel_version + 0x200;
  const bad = (found: string): SaveoopsError =>
    new SaveoopsError('format', `${view.source} has no readable version`, {
      where: `${view.source}, setup header, kernel_version`,
      found,
      wanted: `the offset, less 0x200, of a text inside the ${setupSize} bytes of setup code`,
    });
  if (header.kernel_version === 0 || at >= setupSize) throw bad(`0x${header.kernel_version.toString(16)}`);
  const version = view.slice(0, setupSize, 'setup code').cString(at, 'kernel version', 1024);
  // Printable ASCII only, and its first word leads to no other folder: the text ends up on terminals and in paths.
  if (!/^(?!\.\.?( |$))[!-.0-~]+( [ -~]*)?$/.test(version)) throw bad(JSON.stringify(version.slice(0, 40)));
  return version;
}
