import { describe, expect, test } from '@jest/globals';
import type { Kernel } from '../kernel/load-kernel.js';
import { findGaps } from './find-gap.js';

const base = 0xffffffff81000000n;
const need = 200;
const none = { address: 0n, size: 0, after: '' };

interface Run {
  readonly at: number;
  readonly size: number;
}

/** A kernel of which only .text and some symbols exist: all that findGaps looks at. */
function kernelWith(
  runs: readonly Run[],
  symbols: Readonly<Record<string, number>> = {},
  size = 0x800000,
): Kernel {
  const text = new Uint8Array(size).fill(0x90);
  for (const { at, size: length } of runs) text.fill(0xcc, at, at + length);
  const sorted = Object.entries({ _stext: 0, ...symbols })
    .map(([name, offset]) => ({ name, address: base + BigInt(offset) }))
    .sort((a, b) => (a.address < b.address ? -1 : 1));
  return {
    elf: {
      source: 'test',
      requireSection: () => ({ sh_addr: base }),
      sectionBytes: () => text,
    },
    kallsyms: {
      address: (name: string) => sorted.find((symbol) => symbol.name === name)?.address,
      symbolBefore: (address: bigint) => sorted.filter((symbol) => symbol.address <= address).at(-1),
    },
  } as unknown as Kernel;
}

describe('findGaps', () => {
  test('takes the largest run, at a distance from the function before it, aligned', () => {
    const [gap = none] = findGaps(
      kernelWith(
        [
          { at: 0x1000, size: 400 },
          { at: 0x2010, size: 900 },
        ],
        { last: 0x2000 },
      ),
      need,
    );
    expect(gap.address % 64n).toBe(0n);
    expect(gap.address).toBeGreaterThanOrEqual(base + 0x2010n + 64n);
    expect(gap.address + BigInt(gap.size)).toBe(base + 0x2010n + 900n);
    expect([gap.after, gap.size >= need]).toEqual(['last', true]);
  });

  test('finds a run wherever it begins and ends', () => {
    for (const at of [0, 1, 63, 64, 327, 328, 329, 0x800000 - 328]) {
      const [gap] = findGaps(kernelWith([{ at, size: 328 }]), need);
      expect(gap?.size).toBeGreaterThanOrEqual(need);
    }
  });

  test.each([
    ['runs that are too short', [{ at: 0x1000, size: 327 }], {}],
    ['a run with a symbol in it', [{ at: 0x1000, size: 900 }], { data: 0x1100 }],
  ])('does not take %s', (_, runs, symbols) => {
    expect(() => findGaps(kernelWith(runs, symbols as Record<string, number>), need)).toThrow(
      'no room for the hook',
    );
  });

  const entryText = { __entry_text_start: 0x200010, __entry_text_end: 0x202000, next: 0x600000 };

  test('takes the part of a run that lies before the pages of .entry.text', () => {
    const [gap = none] = findGaps(kernelWith([{ at: 0x1ff000, size: 0x1010 }], entryText), need);
    expect([gap.address, gap.size]).toEqual([base + 0x1ff040n, 0xfc0]);
  });

  test('takes the part that lies behind them', () => {
    const [gap = none] = findGaps(kernelWith([{ at: 0x202000, size: 0x1ff000 }], entryText), need);
    expect([gap.address, gap.size]).toEqual([base + 0x400000n, 0x1000]);
  });

  test('takes what lies in them when there is nothing else', () => {
    const inside = { at: 0x202000, size: 0x10000 };
    const [only = none] = findGaps(kernelWith([inside], entryText), need);
    expect([only.address, only.size, only.after]).toEqual([base + 0x202040n, 0xffc0, '__entry_text_end']);
    const gaps = findGaps(kernelWith([inside, { at: 0x600000, size: 400 }], entryText), need);
    expect(gaps.map((gap) => gap.address)).toEqual([base + 0x600040n, base + 0x202040n]);
  });
});
