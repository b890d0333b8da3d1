import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { runTool } from '../../host/run-tool.js';
import { BtfWriter } from '../../testkit/btf-writer.js';
import { writeElf } from '../../testkit/elf-writer.js';
import { surviveMutations } from '../../testkit/mutate.js';
import { loadVmlinux, stockKernels } from '../../testkit/stock-kernels.js';
import { parseElf } from '../elf/parse-elf.js';
import { BTF_KIND_CONST, BTF_KIND_FWD } from './btf-tables.js';
import { parseBtf, parseElfBtf, type Btf } from './parse-btf.js';

function sampleWriter(): BtfWriter {
  const writer = new BtfWriter();
  const int = writer.int('int', 4);
  const long = writer.int('long unsigned int', 8);
  const name = writer.array(int, 16);
  const rows = writer.array(name, 3);
  const pair = writer.struct('pair', 16, [
    { name: 'first', type: long, bits: 0 },
    { name: 'second', type: long, bits: 64 },
  ]);
  const pairType = writer.typedef('pair_t', writer.add('', BTF_KIND_CONST, 0, pair, []));
  const either = writer.union('', 8, [
    { name: 'number', type: long, bits: 0 },
    { name: 'text', type: writer.pointer(int), bits: 0 },
  ]);
  const hidden = writer.struct('', 16, [
    { name: 'before', type: long, bits: 0 },
    { name: '', type: either, bits: 64 },
  ]);
  writer.struct('outer', 300, [
    { name: 'head', type: int, bits: 0 },
    { name: '', type: hidden, bits: 64 },
    { name: 'inner', type: pairType, bits: 192 },
    { name: 'rows', type: rows, bits: 320 },
  ]);
  writer.struct('flags', 4, [
    { name: 'low', type: int, bits: 0, width: 3 },
    { name: 'whole', type: int, bits: 0, width: 0 },
    { name: 'high', type: int, bits: 3, width: 5 },
  ]);
  writer.struct('twice', 4, [{ name: 'same', type: int, bits: 0 }]);
  writer.struct('twice', 8, [{ name: 'same', type: int, bits: 0 }]);
  writer.add('ahead', BTF_KIND_FWD, 0, 0, []);
  writer.enum('color', { RED: 0, GREEN: 5, BELOW: -129 }, true);
  writer.enum('plain', { BIG: 0xffffffff, SHARED: 1 });
  writer.enum('other', { SHARED: 2 });
  writer.enum64('wide', { WIDE: 1n << 40n, WIDER: 1n << 60n });
  return writer;
}

const sampleBytes = sampleWriter().finish();
const sample = parseBtf(sampleBytes, 'sample');

describe('parseBtf', () => {
  test('gives sizes of every kind of type', () => {
    expect(
      ['int', 'pair', 'struct pair', 'pair_t', 'outer', 'color', 'enum wide'].map((t) => sample.sizeOf(t)),
    ).toEqual([4, 16, 16, 16, 300, 4, 8]);
  });

  test('finds members through anonymous ones, typedefs and dots', () => {
    expect(sample.memberOffset('outer', 'before')).toBe(8);
    expect(sample.memberOffset('outer', 'number')).toBe(16);
    expect(sample.memberOffset('outer', 'text')).toBe(16);
    expect(sample.memberOffset('outer', 'inner.second')).toBe(32);
    expect(sample.memberOffset('pair_t', 'second')).toBe(8);
    expect(sample.memberSize('outer', 'inner')).toBe(16);
    expect(sample.memberSize('outer', 'rows')).toBe(192);
    expect(sample.memberSize('outer', 'text')).toBe(8);
    expect(sample.arrayLength('outer', 'rows')).toBe(3);
  });

  test('tells what exists', () => {
    expect([sample.hasType('pair'), sample.hasType('union pair'), sample.hasType('ahead')]).toEqual([
      true,
      false,
      false,
    ]);
    expect([sample.hasMember('outer', 'text'), sample.hasMember('outer', 'texts')]).toEqual([true, false]);
  });

  test('reads enumerators with their sign', () => {
    expect(['RED', 'GREEN', 'BELOW', 'BIG', 'WIDE'].map((name) => sample.enumValue(name))).toEqual([
      0,
      5,
      -129,
      0xffffffff,
      2 ** 40,
    ]);
    expect(sample.findEnumValue('BLUE')).toBeUndefined();
  });

  test('takes enumerators of old producers, which mark no sign, as signed', () => {
    const writer = new BtfWriter();
    writer.enum('old', { MINUS: -1 });
    expect(parseBtf(writer.finish(), 'old').enumValue('MINUS')).toBe(-1);
  });

  test.each([
    ['the size of a missing type', (b: Btf) => b.sizeOf('none'), 'no type named none'],
    ['a missing member', (b: Btf) => b.memberOffset('outer', 'none'), 'outer, but not that'],
    ['a member of a number', (b: Btf) => b.memberOffset('outer', 'head.x'), 'outer, but not that'],
    ['a bit-field', (b: Btf) => b.memberOffset('flags', 'high'), 'a bit-field has no byte offset'],
    [
      'a bit-field that starts a byte',
      (b: Btf) => b.memberOffset('flags', 'low'),
      'a bit-field has no byte offset',
    ],
    ['types that differ', (b: Btf) => b.sizeOf('twice'), '2 types of that name that differ: 4, 8'],
    ['the length of no array', (b: Btf) => b.arrayLength('outer', 'head'), 'outer, but not that'],
    ['a missing enumerator', (b: Btf) => b.enumValue('BLUE'), 'no such enumerator'],
    ['enumerators that differ', (b: Btf) => b.enumValue('SHARED'), 'several enumerators of that name'],
    ['an enumerator too large', (b: Btf) => b.enumValue('WIDER'), '0x1000000000000000'],
  ])('refuses %s', (_, ask, found) => {
    expect(() => ask(sample)).toThrow(expect.objectContaining({ kind: 'missing-fact', found }));
  });

  test('agrees on types of one name that do not differ in the answer', () => {
    expect(sample.memberOffset('twice', 'same')).toBe(0);
    expect(sample.memberOffset('flags', 'whole')).toBe(0);
  });

  test('steps over unknown kinds that a layout section describes', () => {
    const layouts = Array.from({ length: 23 }, (_, kind) =>
      kind === 22 ? ([8, 4] as const) : ([0, 0] as const),
    );
    const writer = new BtfWriter();
    writer.add('news', 22, 2, 0, [1, 2, 3, 4]);
    writer.int('int', 4);
    expect(parseBtf(writer.finish(layouts), 'new').sizeOf('int')).toBe(4);
    expect(() => parseBtf(writer.finish(), 'new')).toThrow('new has BTF of an unknown kind');
  });

  test('reads counts of more than 16 bits', () => {
    const values = Object.fromEntries(Array.from({ length: 70_000 }, (_, i) => [`E${i}`, i]));
    const writer = new BtfWriter();
    writer.enum('huge', values);
    writer.int('int', 4);
    const btf = parseBtf(writer.finish(), 'huge');
    expect([btf.enumValue('E69999'), btf.sizeOf('int')]).toEqual([69_999, 4]);
  });

  test.each([
    ['no BTF', Buffer.alloc(32), 'format'],
    ['an empty section', new Uint8Array(), 'truncated'],
    ['big-endian BTF', Uint8Array.of(0xeb, 0x9f, 1, 0, 0, 0, 0, 24), 'format'],
    ['BTF that is cut off', sampleBytes.subarray(0, sampleBytes.length - 1), 'truncated'],
    ['a cut header', sampleBytes.subarray(0, 10), 'truncated'],
  ])('refuses %s', (_, bytes, kind) => {
    expect(() => parseBtf(bytes, 'file')).toThrow(expect.objectContaining({ kind }));
  });

  test('refuses typedefs that go in circles', () => {
    const writer = new BtfWriter();
    writer.typedef('egg', 2);
    writer.typedef('hen', 1);
    expect(() => parseBtf(writer.finish(), 'loop').sizeOf('egg')).toThrow('a chain of typedefs has no end');
  });

  test('is not trapped by a type that contains itself many times', () => {
    const writer = new BtfWriter();
    writer.struct(
      'self',
      8,
      Array.from({ length: 100 }, () => ({ name: '', type: 1, bits: 0 })),
    );
    expect(parseBtf(writer.finish(), 'self').hasMember('self', 'none')).toBe(false);
  });

  test('says that a kernel has none', () => {
    expect(() => parseElfBtf(parseElf(writeElf([]), 'bare'))).toThrow(
      expect.objectContaining({ kind: 'missing-fact', wanted: 'a kernel with CONFIG_DEBUG_INFO_BTF' }),
    );
  });

  test('survives damage', async () => {
    const refused = await surviveMutations(
      sampleBytes,
      1000,
      (damaged) => {
        const btf = parseBtf(damaged, 'damaged');
        btf.hasMember('outer', 'inner.second');
        btf.findEnumValue('GREEN');
        btf.memberSize('outer', 'rows');
        btf.sizeOf('pair_t');
      },
      64,
    );
    expect(refused).toBeGreaterThan(200);
  });
});

const oracleTypes = [
  ...['smp_ops', 'printk_ringbuffer', 'prb_desc_ring', 'prb_desc', 'prb_data_blk_lpos', 'prb_data_ring'],
  ...['printk_info', 'dev_printk_info', 'uts_namespace', 'new_utsname', 'pglist_data', 'zone', 'free_area'],
  ...[
    'page',
    'list_head',
    'mem_section',
    'vmap_area',
    'task_struct',
    'pt_regs',
    'boot_params',
    'setup_header',
  ],
];

/** Member paths and offsets, and the size, as `pahole -C` prints them. */
function readPahole(said: string): { members: Map<string, number>; size: number } {
  interface Block {
    readonly members: [string, number][];
  }
  const stack: Block[] = [];
  for (const line of said.split('\n')) {
    const numbers = /\/\*\s*(\d+)\s+(\d+)\s*\*\/$/.exec(line);
    const top = stack.at(-1);
    if (/^\s*(struct|union|enum).*\{/.test(line)) {
      stack.push({ members: [] });
    } else if (/^\t+\}/.test(line)) {
      const block = stack.pop();
      const name = /\}\s*(?:__attribute__\(.*?\)\s*)*(\w*)/.exec(line)?.[1] ?? '';
      const prefix = name === '' ? '' : `${name}.`;
      stack
        .at(-1)
        ?.members.push(...(block?.members ?? []).map(([n, o]): [string, number] => [prefix + n, o]));
      if (numbers !== null && name !== '') stack.at(-1)?.members.push([name, Number(numbers[1])]);
    } else if (top !== undefined && numbers !== null && /;/.test(line)) {
      const declaration = line.slice(0, line.indexOf('/*')).replace(/__attribute__\(.*\)/, '');
      const name =
        /\(\*+\s*(\w+)(?:\[\d*\])*\)\(/.exec(declaration)?.[1] ??
        /(\w+)(?:\[\d*\])*\s*;/.exec(declaration)?.[1];
      // Bit-fields print "offset: bit" and do not match above.
      if (name !== undefined) top.members.push([name, Number(numbers[1])]);
    }
  }
  const size = Number(/\/\* size: (\d+)/.exec(said)?.[1]);
  return { members: new Map(stack[0]?.members ?? []), size };
}

describe.each(stockKernels())('BTF of $flavour', (kernel) => {
  test('agrees with pahole on sizes and offsets', async () => {
    const elf = await loadVmlinux(kernel);
    const btf = parseElfBtf(elf);
    const folder = mkdtempSync(join(tmpdir(), 'saveoops-btf-'));
    try {
      const path = join(folder, 'vmlinux.btf');
      writeFileSync(path, elf.sectionBytes(elf.requireSection('.BTF')));
      let compared = 0;
      for (const type of oracleTypes) {
        const said = Buffer.from(await runTool('pahole', ['-F', 'btf', '-C', type, path])).toString();
        const { members, size } = readPahole(said);
        expect([type, btf.sizeOf(type)]).toEqual([type, size]);
        for (const [member, offset] of members) {
          expect([type, member, btf.memberOffset(type, member)]).toEqual([type, member, offset]);
          compared++;
        }
      }
      expect(compared).toBeGreaterThan(400);
    } finally {
      rmSync(folder, { recursive: true });
    }
  }, 60_000);

  test('knows what VMCOREINFO asks for', async () => {
    const btf = parseElfBtf(await loadVmlinux(kernel));
    expect(btf.arrayLength('zone', 'free_area')).toBeGreaterThanOrEqual(11);
    expect(btf.memberOffset('atomic_long_t', 'counter')).toBe(0);
    expect(btf.enumValue('NR_FREE_PAGES')).toBe(0);
    expect(btf.memberSize('printk_info', 'dev_info')).toBe(btf.sizeOf('dev_printk_info'));
  }, 60_000);

  test('is read in linear time', async () => {
    const elf = await loadVmlinux(kernel);
    const start = performance.now();
    const btf = parseElfBtf(elf);
    btf.sizeOf('page');
    btf.enumValue('NR_FREE_PAGES');
    // About 50 ms in plain Node; Jest's sandbox makes every access to a global, and so this, ten times slower.
    expect(performance.now() - start).toBeLessThan(5000);
  }, 60_000);
});
