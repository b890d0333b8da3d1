/**
 * Says what a file is that was given as a kernel but is none. Only for error messages: a guess from magic numbers,
 * never used to accept anything.
 */
import { EM_386, EM_AARCH64, EM_X86_64 } from '../elf/elf-tables.js';

interface Magic {
  readonly at: number;
  readonly bytes: string;
  readonly what: string;
}

const INITRD_HINT = 'a compressed file, perhaps an initramfs';

/** In order: the first match wins. Latin-1 strings. */
const magics: readonly Magic[] = [
  { at: 0x38, bytes: 'ARM\x64', what: 'an arm64 kernel Image' },
  { at: 0x8001, bytes: 'CD001', what: 'an ISO 9660 image' },
  { at: 0, bytes: '070701', what: 'a cpio archive, perhaps an initramfs' },
  { at: 0, bytes: '070702', what: 'a cpio archive, perhaps an initramfs' },
  { at: 0, bytes: '070707', what: 'a cpio archive, perhaps an initramfs' },
  { at: 0, bytes: '\xc7\x71', what: 'a binary cpio archive' },
  { at: 0, bytes: '\x1f\x8b', what: `gzip data: ${INITRD_HINT}` },
  { at: 0, bytes: '\xfd7zXZ\0', what: `xz data: ${INITRD_HINT}` },
  { at: 0, bytes: '\x28\xb5\x2f\xfd', what: `zstd data: ${INITRD_HINT}` },
  { at: 0, bytes: '\x02\x21\x4c\x18', what: `lz4 data: ${INITRD_HINT}` },
  { at: 0, bytes: '\x04\x22\x4d\x18', what: `lz4 data: ${INITRD_HINT}` },
  { at: 0, bytes: 'BZh', what: `bzip2 data: ${INITRD_HINT}` },
  { at: 0, bytes: '\x89LZO', what: `lzop data: ${INITRD_HINT}` },
  { at: 0, bytes: '\x5d\0\0', what: `lzma data: ${INITRD_HINT}` },
  { at: 0, bytes: '!<arch>\n', what: 'an ar archive, perhaps a Debian package' },
  { at: 0, bytes: 'hsqs', what: 'a squashfs image' },
  { at: 0, bytes: '#!', what: 'a script' },
];

const elfMachines: Readonly<Record<number, string>> = {
  [EM_386]: 'i386',
  [EM_X86_64]: 'x86-64',
  [EM_AARCH64]: 'arm64',
};

/** A noun phrase for what the bytes look like, or undefined when nothing is recognised. */
export function recognise(bytes: Uint8Array): string | undefined {
  if (bytes.length === 0) return 'an empty file';
  const head = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, 0x9000));
  if (head.toString('latin1', 0, 4) === '\x7fELF') {
    const machine = head.length >= 20 ? head.readUInt16LE(18) : -1;
    const name = elfMachines[machine] ?? `machine ${machine}`;
    return `an ELF file for ${name}: an uncompressed vmlinux or a program`;
  }
  for (const { at, bytes: magic, what } of magics) {
    if (head.toString('latin1', at, at + magic.length) === magic) return what;
  }
  // Last: arm64 and x86 kernels built with the EFI stub are PE files as well.
  if (head.toString('latin1', 0, 2) === 'MZ') return 'a PE (EFI) program without a Linux setup header';
  if (head.every((byte) => byte === 0)) return 'zero bytes only';
  const isText = (byte: number): boolean =>
    byte === 9 || byte === 10 || byte === 13 || (byte >= 32 && byte < 127);
  return head.subarray(0, 512).every(isText) ? 'a text file' : undefined;
}
