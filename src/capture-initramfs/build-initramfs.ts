/**
 * The built-in capture initramfs: what the crash kernel runs to print the dead kernel's log. docs/capture.md
 * describes it for users.
 */
import { createHash } from 'node:crypto';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { alignUp } from '../bytes/align.js';
import { type CaptureFile, gatherCaptureFiles, type GatherOptions } from './capture-files.js';
import { fontPath } from './constants.js';
import { writeCpioArchive } from './cpio-archive.js';
import { gatherModules, type ModuleChoice } from './gather-modules.js';

/** A regular file of the initramfs, for the manifest. */
export interface CaptureMember {
  /** Path in the initramfs, without a leading slash. */
  readonly path: string;
  /** Bytes. */
  readonly size: number;
  /** Lower-case hexadecimal. */
  readonly sha256: string;
  /** Path on the build machine, or "saveoops". */
  readonly source: string;
}

export interface CaptureInitramfs {
  /** The archive as the crash kernel gets it: cpio newc, gzip. */
  readonly bytes: Uint8Array;
  /** RAM in bytes that the files take once unpacked: each rounded up to whole pages. */
  readonly unpackedSize: number;
  readonly files: readonly CaptureMember[];
}

export interface CaptureOptions extends GatherOptions {
  /** Kernel modules to carry; default none. */
  readonly modules?: ModuleChoice | undefined;
}

const pageSize = 4096;

/**
 * Builds the initramfs from the programs installed on this machine. No root rights; nothing is cached; the same
 * programs and the same Node version give the same bytes.
 *
 * gzip, because every kernel that Debian ships can unpack it (CONFIG_RD_GZIP) and node:zlib writes it without a
 * name or a time in its header.
 *
 * Throws `tool` (busybox-static, kexec-tools or cpio missing, with the apt line) or `file`, and what gatherModules()
 * throws.
 */
export async function buildCaptureInitramfs(options: CaptureOptions = {}): Promise<CaptureInitramfs> {
  const modules = options.modules === undefined ? [] : await gatherModules(options.modules);
  const loadsModules = modules.length > 0;
  const gathered = [...(await gatherCaptureFiles({ ...options, loadsModules })), ...modules];
  const archive = await writeCpioArchive(gathered);
  const files = gathered.flatMap((file) => member(file) ?? []);
  return {
    bytes: await packed(archive),
    unpackedSize: files.reduce((sum, file) => sum + alignUp(file.size, pageSize), 0),
    files,
  };
}

/**
 * Adds the font for a VGA that has lost its own: as an archive behind the first, which the kernel unpacks as well
 * (buffer-format.rst), because the primary kernel that it is from is still being read while the first one is made.
 * @param font as fontBytes() gives it; without one nothing is added
 */
export async function withFont<T extends Pick<CaptureInitramfs, 'bytes' | 'unpackedSize'>>(
  initramfs: T,
  font: Uint8Array,
): Promise<T> {
  if (font.length === 0) return initramfs;
  const archive = await writeCpioArchive([{ path: fontPath, mode: 0o644, kind: 'file', bytes: font }]);
  return {
    ...initramfs,
    bytes: Buffer.concat([initramfs.bytes, await packed(archive)]),
    unpackedSize: initramfs.unpackedSize + alignUp(font.length, pageSize),
  };
}

/** Level 9 takes twice the time for 0.2 % less. */
async function packed(archive: Uint8Array): Promise<Uint8Array> {
  return await promisify(gzip)(archive, { level: 6 });
}

function member(file: CaptureFile): CaptureMember | undefined {
  if (file.kind !== 'file') return undefined;
  const sha256 = createHash('sha256').update(file.bytes).digest('hex');
  return { path: file.path, size: file.bytes.length, sha256, source: file.source };
}
