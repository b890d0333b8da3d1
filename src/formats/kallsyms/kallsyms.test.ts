import { describe, expect, test } from '@jest/globals';
import { writeElf } from '../../testkit/elf-writer.js';
import { writeKallsyms, type KallsymsLayout, type WrittenSymbol } from '../../testkit/kallsyms-writer.js';
import { surviveMutations } from '../../testkit/mutate.js';
import { loadVmlinux, stockKernels } from '../../testkit/stock-kernels.js';
import { parseElf } from '../elf/parse-elf.js';
import { parseKallsyms, renderProcKallsyms, type FlatKernel } from './kallsyms.js';

const START = 0xffffffff82000000n;
const SIZE = 0x10000;
const before: KallsymsLayout = {
  encoding: 'base-relative',
  addressesLast: false,
  alignment: 8,
  bigNames: true,
};
const after: KallsymsLayout = { ...before, addressesLast: true };
const layouts: [string, KallsymsLayout][] = [
  ['absolute addresses, up to 4.5', { ...before, encoding: 'absolute', bigNames: false }],
  ['relative to a base, up to 6.0', { ...before, bigNames: false }],
  [
    'relative with absolute percpu, 5.10',
    { ...before, encoding: 'base-relative-absolute-percpu', bigNames: false },
  ],
  ['relative with absolute percpu, 6.1', { ...before, encoding: 'base-relative-absolute-percpu' }],
  ['relative with absolute percpu, 6.4', { ...after, encoding: 'base-relative-absolute-percpu' }],
  ['relative to a base, 6.15', after],
  ['absolute addresses, 6.4', { ...after, encoding: 'absolute' }],
  ['relative to its own place, 7.0', { ...after, encoding: 'place-relative', alignment: 4 }],
];

function sampleSymbols(layout: KallsymsLayout): WrittenSymbol[] {
  const symbols: WrittenSymbol[] = [];
  // Only these encodings can tell percpu offsets from addresses in the kernel.
  if (layout.encoding === 'absolute' || layout.encoding === 'base-relative-absolute-percpu') {
    symbols.push({ name: '__per_cpu_start', type: 'A', address: 0n });
    symbols.push({ name: 'current_task', type: 'A', address: 0x1000n });
  }
  for (let i = 0; i < 700; i++) {
    const name = i === 0 ? '_stext' : i % 50 === 7 ? '__func__.1' : `sys_symbol_${i}`;
    symbols.push({ name, type: i % 3 === 0 ? 'T' : 'd', address: START + BigInt(i * 16) });
  }
  symbols.push({ name: 'x'.repeat(200), type: 't', address: START + 0x3000n });
  symbols.push({ name: 'alias', type: 'T', address: START + 0x3000n });
  return symbols;
}

function sample(layout: KallsymsLayout): { flat: FlatKernel; offsets: ReadonlyMap<string, number> } {
  const { bytes, offsets } = writeKallsyms(sampleSymbols(layout), layout, START, SIZE);
  return { flat: { address: START, bytes, source: 'sample' }, offsets };
}

describe.each(layouts)('kallsyms with %s', (_, layout) => {
  const { flat, offsets } = sample(layout);
  const symbols = sampleSymbols(layout);
  const kallsyms = parseKallsyms(flat);

  test('gives back every symbol, in order', () => {
    expect(kallsyms.encoding).toBe(layout.encoding);
    expect([...kallsyms]).toEqual(symbols);
    expect(kallsyms.count).toBe(symbols.length);
  });

  test('knows where its own tables are', () => {
    for (const [name, address] of Object.entries(kallsyms.tables)) {
      const offset = offsets.get(name);
      expect([name, address]).toEqual([name, offset === undefined ? undefined : START + BigInt(offset)]);
    }
  });

  test('finds the same tables in an ELF file', () => {
    const elf = parseElf(writeElf([{ name: '.rodata', bytes: flat.bytes, address: START }]), 'elf');
    const found = parseKallsyms(elf);
    expect(found.tables).toEqual(kallsyms.tables);
    expect(renderProcKallsyms(found)).toBe(renderProcKallsyms(kallsyms));
  });

  test('looks up names and addresses', () => {
    expect(kallsyms.address('sys_symbol_1')).toBe(START + 16n);
    expect(kallsyms.address('x'.repeat(200))).toBe(START + 0x3000n);
    expect(kallsyms.address('absent')).toBeUndefined();
    expect(kallsyms.addresses('__func__.1').length).toBe(14);
    expect(kallsyms.symbolsAt(START + 0x3000n).map(({ name }) => name)).toEqual(['x'.repeat(200), 'alias']);
    expect(kallsyms.symbolBefore(START + 17n)?.name).toBe('sys_symbol_1');
    expect(kallsyms.nextAddress(START + 16n)).toBe(START + 32n);
    expect(kallsyms.nextAddress(START + 0x3000n)).toBeUndefined();
    expect(kallsyms.symbolBefore(-1n)).toBeUndefined();
    expect(kallsyms.symbolsAt(1n << 70n)).toEqual([]);
  });

  test('survives damage', async () => {
    const refused = await surviveMutations(flat.bytes, 200, (bytes) => {
      const damaged = parseKallsyms({ ...flat, bytes });
      damaged.addresses('alias');
      renderProcKallsyms(damaged);
    });
    expect(refused).toBeGreaterThan(20);
  });
});

describe('kallsyms', () => {
  const kallsyms = parseKallsyms(sample(after).flat);

  test('refuses to choose among symbols of one name', () => {
    expect(() => kallsyms.address('__func__.1')).toThrow('the kernel symbol __func__.1 is ambiguous');
  });

  test('names the symbol that is missing', () => {
    expect(() => kallsyms.requireAddress('absent')).toThrow('the kernel has no symbol absent');
  });

  test('are printed as /proc/kallsyms prints them', () => {
    expect(renderProcKallsyms(kallsyms).split('\n', 2)).toEqual([
      'ffffffff82000000 T _stext',
      'ffffffff82000010 d sys_symbol_1',
    ]);
  });

  test('are found at an address that is no multiple of 8', () => {
    const { flat } = sample(after);
    const shifted = new Uint8Array(SIZE + 3);
    shifted.set(flat.bytes, 3);
    const found = parseKallsyms({ address: START - 3n, bytes: shifted, source: 'shifted' });
    expect(found.tables).toEqual(kallsyms.tables);
  });

  test.each([
    ['nothing', new Uint8Array()],
    ['zeros', new Uint8Array(1 << 22)],
    ['ones', new Uint8Array(1 << 22).fill(1)],
    ['a ramp', Uint8Array.from({ length: 1 << 20 }, (_, i) => (i % 512 < 256 ? i & 0xfe : 0))],
  ])('are not found in %s, quickly', (_, bytes) => {
    const start = performance.now();
    expect(() => parseKallsyms({ address: START, bytes, source: 'none' })).toThrow(
      'the kernel has no readable symbol table',
    );
    expect(performance.now() - start).toBeLessThan(2000);
  });
});

describe.each(stockKernels())('kallsyms of $flavour', (kernel) => {
  test('agree with the section headers of vmlinux', async () => {
    const elf = await loadVmlinux(kernel);
    const kallsyms = parseKallsyms(elf);
    expect(kallsyms.count).toBeGreaterThan(50_000);
    expect(kallsyms.address('_stext')).toBe(elf.requireSection('.text').sh_addr);
    for (const [symbol, name] of [
      ['__start_notes', '.notes'],
      ['__start_BTF', '.BTF'],
      ['__start_orc_unwind_ip', '.orc_unwind_ip'],
      ['__bss_start', '.bss'],
    ] as const) {
      expect([name, kallsyms.addresses(symbol)]).toEqual([name, [elf.requireSection(name).sh_addr]]);
    }
    expect([...kallsyms].filter(({ name, type }) => !/^[!-~]+$/.test(type + name) || name === '')).toEqual(
      [],
    );
  }, 60_000);

  test('are parsed in linear time', async () => {
    const elf = await loadVmlinux(kernel);
    const start = performance.now();
    parseKallsyms(elf).requireAddress('_stext');
    // About 45 ms in plain Node; Jest's sandbox makes every access to a global, and so this, ten times slower.
    expect(performance.now() - start).toBeLessThan(5000);
  }, 60_000);
});
