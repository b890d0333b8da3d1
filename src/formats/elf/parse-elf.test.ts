import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { ByteView } from '../../bytes/byte-reader.js';
import { runTool } from '../../host/run-tool.js';
import { writeElf } from '../../testkit/elf-writer.js';
import { surviveMutations } from '../../testkit/mutate.js';
import { loadVmlinux, stockKernels } from '../../testkit/stock-kernels.js';
import { NT_GNU_BUILD_ID, PT_LOAD, PT_NOTE, SHT_NOBITS } from './elf-tables.js';
import { encodeNote, parseNotes } from './notes.js';
import { parseElf, type Elf } from './parse-elf.js';

const sample = writeElf([
  { name: '.text', bytes: Uint8Array.of(0x90, 0xc3), address: 0xffffffff81000000n },
  { name: '.notes', bytes: encodeNote({ name: 'GNU', type: NT_GNU_BUILD_ID, desc: Uint8Array.of(1, 2, 3) }) },
]);

async function withFile<T>(bytes: Uint8Array, use: (path: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'saveoops-elf-'));
  try {
    const path = join(folder, 'file.elf');
    writeFileSync(path, bytes);
    return await use(path);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Compares every segment and section with what readelf prints. */
async function compareWithReadelf(elf: Elf): Promise<void> {
  const said = await withFile(elf.bytes, async (path) =>
    Buffer.from(await runTool('readelf', ['-lSW', path])).toString(),
  );
  const sections = [
    ...said.matchAll(
      /^\s+\[\s*(\d+)\] (\S*)\s+([A-Z_0-9]+)\s+([0-9a-f]+) ([0-9a-f]+) ([0-9a-f]+) ([0-9a-f]+)/gm,
    ),
  ];
  expect(sections.length).toBe(elf.sections.length);
  sections.forEach(([, index, name, type, address, offset, size], i) => {
    const section = elf.sections[i];
    expect([Number(index), name]).toEqual([section?.index, section?.name]);
    expect(type === 'NOBITS').toBe(section?.sh_type === SHT_NOBITS);
    expect([BigInt(`0x${address}`), parseInt(offset ?? '', 16), parseInt(size ?? '', 16)]).toEqual([
      section?.sh_addr,
      section?.sh_offset,
      section?.sh_size,
    ]);
  });
  const segments = [...said.matchAll(/^\s+(LOAD|NOTE|NULL|GNU_STACK|[A-Z_]+)\s+(0x.*?) [R ][W ][E ] /gm)];
  expect(segments.length).toBe(elf.segments.length);
  segments.forEach(([, type, numbers = ''], i) => {
    const segment = elf.segments[i];
    if (type === 'LOAD' || type === 'NOTE') expect(segment?.p_type).toBe(type === 'LOAD' ? PT_LOAD : PT_NOTE);
    expect(numbers.trim().split(/\s+/).map(BigInt)).toEqual(
      [segment?.p_offset, segment?.p_vaddr, segment?.p_paddr, segment?.p_filesz, segment?.p_memsz].map(
        (each) => BigInt(each ?? -1),
      ),
    );
  });
}

describe('parseElf', () => {
  test('agrees with readelf on a written file', async () => {
    const elf = parseElf(sample, 'sample');
    await compareWithReadelf(elf);
    expect([...elf.sectionBytes(elf.requireSection('.text'))]).toEqual([0x90, 0xc3]);
    expect(elf.segments[0]?.p_vaddr).toBe(0xffffffff81000000n);
  });

  test('reads ELF32 for i386', async () => {
    // An Elf32_Ehdr with one Elf32_Phdr and no sections, as the COM32 module's loader needs it.
    const bytes = Buffer.alloc(52 + 32 + 4);
    bytes.write('\x7fELF\x01\x01\x01', 'latin1');
    bytes.writeUInt16LE(3, 16);
    bytes.writeUInt16LE(3, 18);
    bytes.writeUInt32LE(1, 20);
    bytes.writeUInt32LE(0x101000, 24);
    bytes.writeUInt32LE(52, 28);
    bytes.writeUInt16LE(52, 40);
    bytes.writeUInt16LE(32, 42);
    bytes.writeUInt16LE(1, 44);
    [1, 84, 0x101000, 0x101000, 4, 8, 5, 4096].forEach((word, i) => bytes.writeUInt32LE(word, 52 + i * 4));
    const elf = parseElf(bytes, 'module');
    expect(elf.header.e_entry).toBe(0x101000n);
    await compareWithReadelf(elf);
    expect(elf.segments[0] && elf.segmentBytes(elf.segments[0]).length).toBe(4);
  });

  test.each([
    ['no ELF', Buffer.from('MZ..............'), 'wrong-file'],
    ['nothing', new Uint8Array(), 'wrong-file'],
    ['a cut e_ident', sample.subarray(0, 6), 'truncated'],
    ['a cut header', sample.subarray(0, 40), 'truncated'],
    ['cut section headers', sample.subarray(0, sample.length - 1), 'truncated'],
    ['big-endian', Uint8Array.from(sample, (byte, i) => (i === 5 ? 2 : byte)), 'wrong-file'],
    ['another machine', Uint8Array.from(sample, (byte, i) => (i === 18 ? 183 : byte)), 'wrong-file'],
    ['tiny entries', Uint8Array.from(sample, (byte, i) => (i === 58 ? 8 : byte)), 'format'],
    ['no name table', Uint8Array.from(sample, (byte, i) => (i === 62 ? 99 : byte)), 'format'],
  ])('refuses %s', (_, bytes, kind) => {
    expect(() => parseElf(bytes, 'file')).toThrow(expect.objectContaining({ kind }));
  });

  test('names the section that is missing', () => {
    expect(() => parseElf(sample, 'sample').requireSection('.BTF')).toThrow('sample has no section .BTF');
  });

  test('survives damage', async () => {
    const refused = await surviveMutations(
      sample,
      800,
      (damaged) => {
        const elf = parseElf(damaged, 'damaged');
        elf.segments.forEach((segment) => elf.segmentBytes(segment));
        elf.sections.forEach((section) => parseNotes(new ByteView(elf.sectionBytes(section), section.name)));
      },
      0x80,
    );
    expect(refused).toBeGreaterThan(200);
  });
});

describe.each(stockKernels())('vmlinux of $flavour', (kernel) => {
  test('reads as readelf reads it', async () => {
    await compareWithReadelf(await loadVmlinux(kernel));
  }, 60_000);

  test('has the build ID that readelf prints', async () => {
    const elf = await loadVmlinux(kernel);
    const notes = elf.sectionBytes(elf.requireSection('.notes'));
    const id = parseNotes(new ByteView(notes, '.notes')).find(
      ({ name, type }) => name === 'GNU' && type === NT_GNU_BUILD_ID,
    );
    const said = await withFile(elf.bytes, (path) => runTool('readelf', ['-nW', path]));
    expect(Buffer.from(said).toString()).toContain(
      `Build ID: ${Buffer.from(id?.desc ?? []).toString('hex')}`,
    );
  }, 60_000);
});
