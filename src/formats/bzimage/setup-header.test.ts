import { readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import { ByteView } from '../../bytes/byte-reader.js';
import { runTool } from '../../host/run-tool.js';
import { writeBzImage } from '../../testkit/bzimage-writer.js';
import { stockKernels } from '../../testkit/stock-kernels.js';
import { parseBzImage } from './parse-bzimage.js';
import {
  SETUP_HEADER_OFFSET,
  SETUP_HEADER_SIZE,
  decodeSetupHeader,
  protocolName,
  setupHeaderFields,
} from './setup-header.js';

describe('the table of setup_header', () => {
  test('has no gap and no overlap, and the size of the struct', () => {
    let end = SETUP_HEADER_OFFSET;
    for (const { name, offset, size } of setupHeaderFields) {
      expect([name, offset]).toEqual([name, end]);
      end += size;
    }
    expect(end - SETUP_HEADER_OFFSET).toBe(SETUP_HEADER_SIZE);
  });

  test('agrees with the decoder on every field', () => {
    const image = writeBzImage();
    for (let i = 0; i < SETUP_HEADER_SIZE; i++) image[SETUP_HEADER_OFFSET + i] = (i * 37 + 11) & 0xff;
    image.set([0x0f, 0x02], 0x206);
    const header = decodeSetupHeader(new ByteView(image, 'test'));
    for (const { name, offset, size } of setupHeaderFields) {
      let value = 0n;
      for (let i = size - 1; i >= 0; i--) value = (value << 8n) | BigInt(image[offset + i] ?? 0);
      expect([name, BigInt(header[name])]).toEqual([name, value]);
      expect(typeof header[name]).toBe(size === 8 ? 'bigint' : 'number');
    }
  });
});

test('fields younger than the protocol are zero', () => {
  const image = writeBzImage({ fields: { version: 0x020c, kernel_info_offset: 0x1234, xloadflags: 1 } });
  const header = decodeSetupHeader(new ByteView(image, 'test'));
  expect(header.kernel_info_offset).toBe(0);
  expect(header.xloadflags).toBe(1);
});

test('a header that is cut off is refused, not shortened', () => {
  const image = writeBzImage().subarray(0, SETUP_HEADER_OFFSET + SETUP_HEADER_SIZE - 1);
  expect(() => decodeSetupHeader(new ByteView(image, 'test'))).toThrow('setup header reaches outside test');
});

test('protocols are named as the kernel does', () => {
  expect([protocolName(0x020f), protocolName(0x0204)]).toEqual(['2.15', '2.04']);
});

describe.each(stockKernels())('the header of $flavour', ({ vmlinuz }) => {
  test('reads as file(1) reads it', async () => {
    const said = Buffer.from(await runTool('file', ['-bL', vmlinuz])).toString();
    const { header, version } = parseBzImage(readFileSync(vmlinuz), vmlinuz);
    expect(said).toContain(`bzImage, version ${version}, `);
    expect(said.includes('RO-rootFS')).toBe(header.root_flags !== 0);
    expect(said.includes('Normal VGA')).toBe(header.vid_mode === 0xffff);
    // file(1) still reads the upper half of syssize under its name of 1992.
    expect(said).toContain(`swap_dev 0X${(header.syssize >>> 16).toString(16).toUpperCase()},`);
  });
});
