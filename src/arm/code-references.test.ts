import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from '@jest/globals';
import { parseElf } from '../formats/elf/parse-elf.js';
import { flattenKernel, offsetInImage } from '../kernel/flat-image.js';
import { withTemporaryFolder } from '../host/files.js';
import { loadKernel, type Kernel } from '../kernel/load-kernel.js';
import { few, spread } from '../testkit/lanes.js';
import { oracle } from '../testkit/command-line.js';
import { stockKernels } from '../testkit/stock-kernels.js';
import { findReference } from './code-references.js';
import { findGaps } from './find-gap.js';

const size = 424;

describe.each(few(1, stockKernels()))('in $flavour', ({ vmlinuz }) => {
  let kernel: Kernel;
  let gap: bigint;
  beforeAll(async () => {
    kernel = await loadKernel(readFileSync(vmlinuz), vmlinuz);
    gap = findGaps(kernel, size)[0]?.address ?? 0n;
  }, 60_000);

  /** The kernel with four bytes at `address` that lead to `target` by a distance from themselves plus `behind`. */
  const withDistance = (address: bigint, target: bigint, behind = 0n): Kernel => {
    const value = Buffer.alloc(4);
    value.writeInt32LE(Number(target - address - behind));
    return withBytes(address, value);
  };
  const withBytes = (address: bigint, value: Uint8Array): Kernel => {
    const bytes = Uint8Array.from(kernel.elf.bytes);
    const section = kernel.elf.sections.find(
      ({ sh_addr, sh_size }) => sh_addr !== 0n && address >= sh_addr && address < sh_addr + BigInt(sh_size),
    );
    bytes.set(value, (section?.sh_offset ?? 0) + Number(address - (section?.sh_addr ?? 0n)));
    const elf = parseElf(bytes, 'mutated vmlinux');
    return { ...kernel, elf, image: flattenKernel(elf) };
  };
  const sectionAddress = (name: string): bigint => kernel.elf.requireSection(name).sh_addr;

  test('nothing refers to the gap that arming takes', () => {
    expect(findReference(kernel, gap, size)).toBeUndefined();
  });

  test('whatever objdump sees panic() call is referenced', async () => {
    const start = kernel.kallsyms.requireAddress('panic');
    const listing = await withTemporaryFolder((folder) => {
      const file = join(folder, 'vmlinux');
      writeFileSync(file, kernel.elf.bytes);
      const range = [`--start-address=${start}`, `--stop-address=${start + 512n}`];
      return Promise.resolve(oracle('objdump', ['-d', '-w', '--no-show-raw-insn', ...range, file]));
    });
    const called = [...listing.matchAll(/\bcall\s+(?:0x)?([0-9a-f]{16})/g)].map(([, to]) =>
      BigInt(`0x${to ?? 0}`),
    );
    expect(called.length).toBeGreaterThan(4);
    const none = new Uint32Array();
    const relocations = { words64: none, words32: none, inverse32: none };
    for (const callee of called) expect(findReference({ ...kernel, relocations }, callee, 1)).toBeDefined();
  });

  test.each(
    spread(2, [
      '.altinstructions',
      '.smp_locks',
      '.retpoline_sites',
      '.return_sites',
      '__ex_table',
      '__bug_table',
    ]),
  )('an entry of %s that leads to the first or the last byte is found', (name) => {
    const at = sectionAddress(name) + 24n;
    for (const target of [gap, gap + BigInt(size) - 1n]) {
      expect(findReference(withDistance(at, target), gap, size)).toContain(name);
    }
    for (const target of [gap - 1n, gap + BigInt(size)]) {
      expect(findReference(withDistance(at, target), gap, size)).toBeUndefined();
    }
  });

  test.each(['__start_static_call_sites', '__start___jump_table'])('so is one behind %s', (symbol) => {
    const at = kernel.kallsyms.requireAddress(symbol) + 16n;
    expect(findReference(withDistance(at, gap + 7n), gap, size)).toContain(symbol.replace('__start_', ''));
  });

  test('a pointer in data is found, with and without an entry in the relocation lists', () => {
    const value = Buffer.alloc(8);
    value.writeBigUInt64LE(gap + 3n);
    const mutated = withBytes(kernel.kallsyms.requireAddress('smp_ops'), value);
    expect(findReference(mutated, gap, size)).toContain('a relocation at');
    const none = new Uint32Array();
    const fixed = { ...mutated, relocations: { words64: none, words32: none, inverse32: none } };
    expect(findReference(fixed, gap, size)).toContain('a pointer in .data');
  });

  test.each([
    ['call', [0xe8]],
    ['jmp', [0xe9]],
    ['je', [0x0f, 0x84]],
  ])('a %s that leads there is found', (_, opcode) => {
    const panic = kernel.kallsyms.requireAddress('panic');
    const head = withBytes(panic, Uint8Array.from(opcode));
    const target = panic + BigInt(opcode.length);
    const original = kernel;
    kernel = head;
    try {
      expect(findReference(withDistance(target, gap, 4n), gap, size)).toContain('a branch in .text');
    } finally {
      kernel = original;
    }
  });

  test('a relocation inside is found', () => {
    const inside = Uint32Array.of(Number(BigInt.asUintN(32, gap)) + size - 1);
    for (const list of ['words64', 'words32', 'inverse32'] as const) {
      const relocations = { ...kernel.relocations, [list]: inside };
      expect(findReference({ ...kernel, relocations }, gap, size)).toContain('a relocation at');
    }
  });

  test('the gap is int3 in the image that boots', () => {
    const offset = offsetInImage(kernel.image, gap, size, 'gap');
    expect(kernel.image.bytes.subarray(offset, offset + size).every((byte) => byte === 0xcc)).toBe(true);
  });
});
