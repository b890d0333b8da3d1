/**
 * Decompression of a bzImage payload by its magic number.
 *
 * Source: the table in the kernel's lib/decompress.c, and scripts/Makefile.lib ("size_append"): every format but
 * gzip is followed by the u32 size of the decompressed data, so that, as with gzip's own ISIZE (RFC 1952), the
 * last four bytes of any payload are the size of the result.
 */
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { ExecaError } from 'execa';
import { ByteView } from '../../bytes/byte-reader.js';
import { SaveoopsError } from '../../errors.js';
import { runTool } from '../../host/run-tool.js';

interface Compression {
  readonly name: string;
  readonly magic: readonly number[];
  /** Host tool that reads standard input; none: node:zlib. */
  readonly tool?: readonly [string, ...string[]];
}

const compressions: readonly Compression[] = [
  { name: 'gzip', magic: [0x1f, 0x8b] },
  { name: 'bzip2', magic: [0x42, 0x5a], tool: ['bzip2', '-dc'] },
  { name: 'lzma', magic: [0x5d, 0x00], tool: ['xz', '--format=lzma', '-dc'] },
  { name: 'xz', magic: [0xfd, 0x37], tool: ['xz', '--format=xz', '-dc'] },
  { name: 'lzo', magic: [0x89, 0x4c], tool: ['lzop', '-dc'] },
  { name: 'lz4', magic: [0x02, 0x21], tool: ['lz4', '-dc'] },
  { name: 'zstd', magic: [0x28, 0xb5], tool: ['zstd', '-dc', '--long=31'] },
];

/** KERNEL_IMAGE_SIZE: x86-64 maps at most 1 GiB of kernel; a larger size word is damage. */
const LARGEST_KERNEL = 1 << 30;

/** The name of the payload's compression, or undefined when its magic is unknown. */
export function payloadCompression(payload: Uint8Array): string | undefined {
  return findCompression(payload)?.name;
}

function findCompression(payload: Uint8Array): Compression | undefined {
  return compressions.find(({ magic }) => magic.every((byte, i) => payload[i] === byte));
}

/**
 * Decompresses the payload of a bzImage.
 * @param payload BzImage.payload, trailing size word included
 * @param source names the file in errors
 * @returns vmlinux (ELF), followed in one with CONFIG_RANDOMIZE_BASE by its relocation table
 * Throws `truncated`, `unsupported`, `format`, or `tool` when the decompressor is not installed.
 */
export async function decompressPayload(payload: Uint8Array, source: string): Promise<Uint8Array> {
  const view = new ByteView(payload, `${source}: payload`);
  view.check(0, 6, 'payload magic and size word');
  const compression = findCompression(payload);
  if (compression === undefined) {
    throw new SaveoopsError('unsupported', `${source} is compressed in an unknown way`, {
      where: `${source}, payload`,
      found: `magic ${Buffer.from(payload.subarray(0, 4)).toString('hex')}`,
      wanted: `one of ${compressions.map(({ name }) => name).join(', ')}`,
    });
  }
  const size = view.u32(payload.length - 4, 'size word');
  const damaged = (found: string, cause?: unknown): SaveoopsError =>
    new SaveoopsError('format', `the compressed kernel in ${source} is damaged`, {
      where: `${source}, payload (${compression.name})`,
      found,
      wanted: `${size} bytes, as the payload's last four bytes say`,
      hint: 'compare the file with the one in its package (debsums, dpkg --verify)',
      cause,
    });
  if (size === 0 || size > LARGEST_KERNEL) throw damaged(`a size word of ${size}`);
  const result = await decompress(compression, payload, size, damaged);
  if (result.length !== size) throw damaged(`${result.length} decompressed bytes`);
  return result;
}

async function decompress(
  compression: Compression,
  payload: Uint8Array,
  size: number,
  damaged: (found: string, cause: unknown) => SaveoopsError,
): Promise<Uint8Array> {
  try {
    if (compression.tool === undefined) {
      return await promisify(gunzip)(payload, { maxOutputLength: size });
    }
    const [tool, ...args] = compression.tool;
    // The appended size word is not part of the stream: xz and lz4 would take it for damage.
    return await runTool(tool, args, {
      input: payload.subarray(0, payload.length - 4),
      outputSize: size,
    });
  } catch (error) {
    if (!(error instanceof SaveoopsError)) throw damaged(String(error), error);
    // A decompressor that ran and failed met bad data; one that did not run is a fault of the host.
    const ran = error.cause instanceof ExecaError && error.cause.exitCode !== undefined;
    throw ran ? damaged(error.found, error) : error;
  }
}
