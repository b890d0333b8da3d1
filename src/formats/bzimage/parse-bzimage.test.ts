import { readFileSync, statSync } from 'node:fs';
import { basename } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, test } from '@jest/globals';
import { SaveoopsError, renderError } from '../../errors.js';
import { writeBzImage } from '../../testkit/bzimage-writer.js';
import { writeElf } from '../../testkit/elf-writer.js';
import { surviveMutations } from '../../testkit/mutate.js';
import { stockKernels } from '../../testkit/stock-kernels.js';
import { parseBzImage } from './parse-bzimage.js';

function refusal(bytes: Uint8Array): SaveoopsError {
  try {
    parseBzImage(bytes, 'vmlinuz');
  } catch (error) {
    if (error instanceof SaveoopsError) return error;
    throw error;
  }
  throw new Error('the image was accepted');
}

describe('parseBzImage', () => {
  test('splits an image and ignores what follows it', () => {
    const payload = Uint8Array.from({ length: 300 }, (_, i) => i & 0xff);
    const image = parseBzImage(writeBzImage({ payload, trailing: 1000 }), 'vmlinuz');
    expect(image.setup.length).toBe(5 * 512);
    expect(image.protectedMode.length).toBe(image.header.syssize * 16);
    expect(image.payload).toEqual(payload);
    expect(image.release).toBe('6.1.0-test');
    expect(image.version).toBe('6.1.0-test (tester@host) #1 SMP');
  });

  test('takes setup_sects 0 for 4', () => {
    expect(parseBzImage(writeBzImage({ fields: { setup_sects: 0 } }), 'vmlinuz').setup.length).toBe(5 * 512);
  });

  test('accepts a last paragraph that is short', () => {
    const bytes = writeBzImage();
    const image = parseBzImage(bytes.subarray(0, bytes.length - 15), 'vmlinuz');
    expect(image.protectedMode.length).toBe(image.header.syssize * 16 - 15);
  });
});

describe('parseBzImage refuses', () => {
  const arm64 = new Uint8Array(0x1000);
  arm64.set(Buffer.from('ARM\x64'), 0x38);
  const iso = new Uint8Array(0x9000);
  iso.set(Buffer.from('\x01CD001'), 0x8000);

  test.each([
    ['an ELF file', writeElf([]), 'an ELF file for x86-64'],
    ['a gzip initramfs', gzipSync(Buffer.alloc(10)), 'gzip data'],
    ['an xz file', Buffer.from('\xfd7zXZ\0abc', 'latin1'), 'xz data'],
    ['a zstd file', Buffer.from('\x28\xb5\x2f\xfdabc', 'latin1'), 'zstd data'],
    ['a legacy lz4 file', Buffer.from('\x02\x21\x4c\x18abc', 'latin1'), 'lz4 data'],
    ['a cpio archive', Buffer.from('070701000000'), 'a cpio archive'],
    ['an arm64 kernel', arm64, 'an arm64 kernel Image'],
    ['an ISO image', iso, 'an ISO 9660 image'],
    ['an EFI program', Buffer.concat([Buffer.from('MZ'), Buffer.alloc(4000)]), 'a PE (EFI) program'],
    ['an empty file', new Uint8Array(), 'an empty file'],
    ['zeros', new Uint8Array(4096), 'zero bytes only'],
    ['a script', Buffer.from('#!/bin/sh\n'), 'a script'],
    ['a text', Buffer.from('hello\n'), 'a text file'],
    ['a few bytes', Uint8Array.of(1, 2, 3), '3 bytes, too few for a setup header'],
    ['noise', new Uint8Array(4096).fill(0x81), 'boot_flag 0x8181, header 0x81818181'],
  ])('%s, and says what it is', (_, bytes, found) => {
    const error = refusal(bytes);
    expect(error.kind).toBe('wrong-file');
    expect(error.found).toContain(found);
    expect(renderError(error)).toContain('saveoops: vmlinuz is not a bzImage');
  });

  test('an old protocol', () => {
    const error = refusal(writeBzImage({ fields: { version: 0x020b } }));
    expect([error.kind, error.found]).toEqual(['unsupported', 'protocol 2.11']);
  });

  test('a 32-bit kernel', () => {
    const error = refusal(writeBzImage({ fields: { xloadflags: 0 } }));
    expect([error.kind, error.message]).toEqual(['unsupported', 'vmlinuz is a 32-bit kernel']);
  });

  test('a zImage', () => {
    const error = refusal(writeBzImage({ fields: { loadflags: 0 } }));
    expect([error.kind, error.message]).toEqual(['unsupported', 'vmlinuz is a zImage']);
  });

  test.each([600, 1000, 2560, 2700])('an image cut off after %i bytes', (length) => {
    expect(refusal(writeBzImage().subarray(0, length)).kind).toMatch(/^(truncated|wrong-file)$/);
  });

  test.each([
    { payload_offset: 0x7fffffff },
    { payload_length: 0xffffffff },
    { payload_length: 0 },
    { payload_offset: 0xffffffff, payload_length: 0xffffffff },
  ])('a payload outside the image: %j', (fields) => {
    const error = refusal(writeBzImage({ fields }));
    expect([error.kind, error.message]).toEqual(['format', 'the compressed kernel lies outside vmlinuz']);
  });

  test.each([
    ['no version', { fields: { kernel_version: 0 } }],
    ['a version outside', { fields: { kernel_version: 0xff00 } }],
    ['a version with control characters', { version: '6.1\x1b[2J' }],
  ])('%s', (_, parts) => {
    expect(refusal(writeBzImage(parts)).message).toBe('vmlinuz has no readable version');
  });

  test('damage of any kind, without any other error', async () => {
    const image = writeBzImage();
    const refused = await surviveMutations(image, 500, (damaged) => parseBzImage(damaged, 'vmlinuz'), 0x300);
    expect(refused).toBeGreaterThan(50);
  });
});

describe.each(stockKernels())('the stock kernel $flavour', ({ vmlinuz }) => {
  test('is named as its release', () => {
    const image = parseBzImage(readFileSync(vmlinuz), vmlinuz);
    expect(vmlinuz).toContain(image.release);
    if (basename(vmlinuz) !== 'vmlinuz') expect(basename(vmlinuz)).toBe(`vmlinuz-${image.release}`);
    const size = image.setup.length + image.protectedMode.length;
    expect(size).toBeLessThanOrEqual(statSync(vmlinuz).size);
    expect(size).toBeGreaterThan(statSync(vmlinuz).size - 65536);
  });
});
