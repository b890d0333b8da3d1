import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { ByteView } from '../bytes/byte-reader.js';
import { ByteWriter } from '../bytes/byte-writer.js';
import { parseBtf } from '../formats/btf/parse-btf.js';
import { few } from '../testkit/lanes.js';
import { BtfWriter } from '../testkit/btf-writer.js';
import { buildInto, runSaveoops } from '../testkit/command-line.js';
import { stockKernels } from '../testkit/stock-kernels.js';
import { loadKernel, type Kernel } from './load-kernel.js';
import { findTextFont, textFontSize } from './text-font.js';

const base = 0xffffffff81000000n;
const description = 0x100;
const font = 0x1000;

interface Description {
  readonly width?: number;
  readonly height?: number;
  /** undefined: a kernel whose struct font_desc has no such member. */
  readonly charcount?: number | undefined;
  readonly data?: bigint;
  readonly symbol?: boolean;
}

/** A kernel that has a description of a font and nothing else. */
function kernelWith(described: Description, size = font + textFontSize): Kernel {
  const { width = 8, height = 16, data = base + BigInt(font), symbol = true } = described;
  const charcount = 'charcount' in described ? described.charcount : 256;
  const writer = ByteWriter.ofSize(size);
  if (size > description + 40) {
    writer.u32(description + 16, width);
    writer.u32(description + 20, height);
    writer.u32(description + 24, charcount ?? 0);
    writer.u64(description + 32, data);
  }
  const btf = new BtfWriter();
  const int = btf.int('unsigned int', 4);
  const pointer = btf.pointer(int);
  btf.struct('font_desc', 48, [
    { name: 'width', type: int, bits: 128 },
    { name: 'height', type: int, bits: 160 },
    ...(charcount === undefined ? [] : [{ name: 'charcount', type: int, bits: 192 }]),
    { name: 'data', type: pointer, bits: 256 },
  ]);
  return {
    btf: parseBtf(btf.finish(), 'test'),
    image: { bytes: writer.bytes, physical: 0n, virtual: base, entryOffset: 0, source: 'test' },
    kallsyms: {
      address: (name: string) =>
        symbol && name === 'font_vga_8x16' ? base + BigInt(description) : undefined,
    },
  } as unknown as Kernel;
}

describe('findTextFont', () => {
  test.each<[string, Description, bigint | undefined]>([
    ['256 characters of 8x16', {}, base + BigInt(font)],
    ['no number of characters: a kernel before 5.11', { charcount: undefined }, base + BigInt(font)],
    ['no such symbol', { symbol: false }, undefined],
    ['another width', { width: 9 }, undefined],
    ['another height', { height: 14 }, undefined],
    ['another number of characters', { charcount: 512 }, undefined],
  ])('%s', (_, described, wanted) => {
    expect(findTextFont(kernelWith(described))).toBe(wanted);
  });

  test.each<[string, Kernel]>([
    ['font that reaches beyond the image', kernelWith({ data: base + BigInt(font) + 1n })],
    ['font below the image', kernelWith({ data: base - 1n })],
    ['null pointer', kernelWith({ data: 0n })],
    ['description beyond the image', kernelWith({}, description + 40)],
  ])('refuses a %s', (_, kernel) => {
    expect(() => findTextFont(kernel)).toThrow(expect.objectContaining({ kind: 'missing-fact' }));
  });
});

describe.each(few(1, stockKernels()))('$flavour', ({ vmlinuz }) => {
  test('the font is the one that the kernel keeps for its consoles', async () => {
    const kernel = await loadKernel(readFileSync(vmlinuz), vmlinuz);
    const found = findTextFont(kernel);
    // struct font_data: four words, the third of which is the size of what follows (FNTSIZE), and the characters.
    const data = kernel.kallsyms.requireAddress('fontdata_8x16');
    const size = new ByteView(kernel.image.bytes, vmlinuz).u32(
      Number(data - kernel.image.virtual) + 8,
      'size',
    );
    expect([found, size]).toEqual([data + 16n, textFontSize]);
  }, 60_000);

  test('build takes it for messages on a frame buffer, and inspect tells what is reset', () => {
    const folder = mkdtempSync(join(tmpdir(), 'saveoops-font-'));
    try {
      for (const vga of few(1, [true, false])) {
        const { file, manifest } = buildInto(folder, vmlinuz, vga ? ['--reset-vga'] : ['--reset-pic']);
        expect(manifest.reset).toEqual({ vga, pic: !vga });
        expect(manifest.facts.filter(({ name }) => name === 'font_vga_8x16')).toHaveLength(1);
        expect(manifest.regions.find(({ name }) => name === 'font')?.size).toBe(textFontSize);
        const { stdout } = runSaveoops(['inspect', file]);
        expect(/^resets .*$/m.exec(stdout)?.[0]).toMatch(vga ? /VGA/ : /PIC/);
      }
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }, 60_000);
});
