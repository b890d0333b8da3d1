import { readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { describe, expect, test } from '@jest/globals';
import { runTool } from '../../host/run-tool.js';
import { surviveMutations } from '../../testkit/mutate.js';
import { stockKernels } from '../../testkit/stock-kernels.js';
import { parseBzImage } from './parse-bzimage.js';
import { decompressPayload, payloadCompression } from './payload.js';

const kernel = Buffer.from('a kernel, repeated to be worth compressing; '.repeat(500));

/** As the kernel's build does it: scripts/Makefile.lib, "size_append". */
function appendSize(compressed: Uint8Array, size = kernel.length): Uint8Array {
  const word = Buffer.alloc(4);
  word.writeUInt32LE(size);
  return Buffer.concat([compressed, word]);
}

describe('decompressPayload', () => {
  test.each([
    ['bzip2', 'bzip2', ['-9']],
    ['lzma', 'xz', ['--format=lzma', '-9']],
    ['xz', 'xz', ['--check=crc32', '--x86', '--lzma2=dict=32MiB']],
    ['lzo', 'lzop', ['-9']],
    ['lz4', 'lz4', ['-l', '-9', '-', '-']],
    ['zstd', 'zstd', ['-22', '--ultra']],
  ])('undoes %s', async (name, tool, args) => {
    const payload = appendSize(await runTool(tool, args, { input: kernel }));
    expect(payloadCompression(payload)).toBe(name);
    expect(Buffer.from(await decompressPayload(payload, 'vmlinuz')).equals(kernel)).toBe(true);
  });

  test('undoes gzip, whose own last word is the size', async () => {
    expect(Buffer.from(await decompressPayload(gzipSync(kernel), 'vmlinuz')).equals(kernel)).toBe(true);
  });

  test.each([
    ['a wrong size', kernel.length + 1, 'format'],
    ['size 0', 0, 'format'],
    ['an absurd size', 0xfffffff0, 'format'],
  ])('refuses %s', async (_, size, kind) => {
    const payload = appendSize(await runTool('zstd', [], { input: kernel }), size);
    await expect(decompressPayload(payload, 'vmlinuz')).rejects.toMatchObject({ kind });
  });

  test('refuses a gzip stream that is longer than it says', async () => {
    const payload = gzipSync(kernel);
    payload.writeUInt32LE(10, payload.length - 4);
    await expect(decompressPayload(payload, 'vmlinuz')).rejects.toMatchObject({ kind: 'format' });
  });

  test('refuses an unknown magic', async () => {
    await expect(decompressPayload(Buffer.from('\x7fELF....'), 'vmlinuz')).rejects.toMatchObject({
      kind: 'unsupported',
      found: 'magic 7f454c46',
    });
  });

  test('refuses a payload too short for any magic', async () => {
    await expect(decompressPayload(new Uint8Array(3), 'vmlinuz')).rejects.toMatchObject({
      kind: 'truncated',
    });
  });

  test('calls a decompressor that failed damage, and shows its words', async () => {
    const payload = appendSize(await runTool('xz', ['--check=crc32'], { input: kernel }));
    payload.fill(0, 40, 60);
    await expect(decompressPayload(payload, 'vmlinuz')).rejects.toMatchObject({
      kind: 'format',
      message: 'the compressed kernel in vmlinuz is damaged',
      found: expect.stringContaining('xz'),
    });
  });

  test('survives damaged gzip', async () => {
    const refused = await surviveMutations(gzipSync(kernel), 300, (each) =>
      decompressPayload(each, 'vmlinuz'),
    );
    expect(refused).toBeGreaterThan(100);
  });

  test('survives damaged zstd, which a host tool reads', async () => {
    const payload = appendSize(await runTool('zstd', [], { input: kernel }));
    const refused = await surviveMutations(payload, 40, (each) => decompressPayload(each, 'vmlinuz'));
    expect(refused).toBeGreaterThan(10);
  });
});

test.each(stockKernels())(
  'the payload of $flavour is an ELF file of the size it says',
  async ({ vmlinuz }) => {
    const { payload } = parseBzImage(readFileSync(vmlinuz), vmlinuz);
    const vmlinux = await decompressPayload(payload, vmlinuz);
    expect(Buffer.from(vmlinux.subarray(0, 4)).toString('latin1')).toBe('\x7fELF');
  },
);
