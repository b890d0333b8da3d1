import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { ByteWriter } from '../bytes/byte-writer.js';
import { parsePe, type PeImage } from '../formats/pe/parse-pe.js';
import { oracle, runSaveoops } from '../testkit/command-line.js';
import { writePe } from '../testkit/pe-writer.js';
import { stockKernels } from '../testkit/stock-kernels.js';
import { addEfiEntries, checkEfiEntries } from './efi-entries.js';
import { HeaderEditor, headerField, undoHeaderEdits } from './header-editor.js';

const setupSize = 0x400;
const stubAt = 0x2000;
const fileSize = 0x8000;
const entries = { handover: 0x100, pe: 0x180, textEnd: 0x1000 };

/** A composed file around a kernel whose section ends at 0x1800, its PE header at `headerAt`. */
function composed(headerAt: number, more: readonly string[] = []): Uint8Array {
  const bytes = new Uint8Array(fileSize);
  bytes.set(writePe(0x1800, headerAt, more));
  new ByteWriter(bytes).u32(headerField('handover_offset').offset, 0x140);
  new ByteWriter(bytes).u16(headerField('xloadflags').offset, 0x7f);
  return bytes;
}

function edited(bytes: Uint8Array): { edit: HeaderEditor; places: ReturnType<typeof addEfiEntries> } {
  const edit = new HeaderEditor(bytes);
  return { edit, places: addEfiEntries(edit, { stubAt, setupSize }, entries) };
}

/** `objdump -h`: each section's flags. */
function flags(file: string): Map<string, string> {
  const rows = oracle('objdump', ['-h', file]).matchAll(/^\s*\d+ (\S+) .*\n\s+(.*)$/gm);
  return new Map([...rows].map(([, name = '', said = '']) => [name, said]));
}

describe('a stock kernel', () => {
  let folder: string;
  let file: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'saveoops-efi-'));
    const out = join(folder, 'out');
    const kernel = stockKernels()[0]?.vmlinuz ?? '';
    const { status } = runSaveoops([
      'build',
      '--no-config',
      '--kernel',
      kernel,
      '--out',
      out,
      '--format',
      'efi',
    ]);
    expect(status).toBe(0);
    file = join(out, 'saveoops.efi');
  }, 120_000);
  afterAll(() => {
    rmSync(folder, { recursive: true, force: true });
  });

  test('objdump finds code that cannot be written and data that is neither', () => {
    const found = flags(file);
    expect(found.get('.sotext')).toBe('CONTENTS, ALLOC, LOAD, READONLY, CODE');
    expect(found.get('.sodata')).toBe('CONTENTS, ALLOC, LOAD, READONLY, DATA');
  });

  test('sbsign signs it without a word about gaps, and sbverify accepts that', () => {
    const [key, cert, signed] = ['key', 'cert', 'signed'].map((name) => join(folder, name));
    if (key === undefined || cert === undefined || signed === undefined) return;
    const subject = ['-subj', '/CN=test', '-days', '1', '-out', cert];
    oracle('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', key, ...subject]);
    const said = oracle('sh', [
      '-c',
      'exec 2>&1; exec "$@"',
      'sh',
      'sbsign',
      '--key',
      key,
      '--cert',
      cert,
      '--output',
      signed,
      file,
    ]);
    expect(said).not.toMatch(/gap|warning/i);
    expect(oracle('sbverify', ['--cert', cert, signed])).toContain('Signature verification OK');
    // The signature is behind all that we boot.
    expect(
      Buffer.compare(
        readFileSync(signed).subarray(0x1000, 0x200000),
        readFileSync(file).subarray(0x1000, 0x200000),
      ),
    ).toBe(0);
  }, 60_000);
});

describe('the PE header', () => {
  test('of Linux 6.7 and later has room for two sections; all edits can be taken back', () => {
    const before = composed(0x40, ['.a', '.b', '.c']);
    const bytes = Uint8Array.from(before);
    const { edit, places } = edited(bytes);
    const image = parsePe(bytes, 'test');
    expect(image.sections.map(({ name }) => name)).toEqual(['.text', '.a', '.b', '.c', '.sotext', '.sodata']);
    expect(image.headerAt).toBe(0x40);
    expect(places).toMatchObject({ handover: 0x140, peEntry: 0x240 });
    // The stub's distance from the image's start in memory, by the section that holds it.
    const text = image.sections[4];
    expect(places.stubAddress).toBe((text?.virtualAddress ?? 0) + stubAt - (text?.rawOffset ?? 0));
    expect(image.entry).toBe(places.stubAddress + entries.pe);
    expect(edit.header('handover_offset')).toBe(stubAt - setupSize + entries.handover - 0x200);
    expect(edit.header('xloadflags')).toBe(0x7b);
    expect(undoHeaderEdits(bytes, edit.edits, 'test')).toEqual(before);
  });

  test('before that moves to 0x40', () => {
    const before = composed(0x82, ['.a', '.b', '.c']);
    const bytes = Uint8Array.from(before);
    const { edit } = edited(bytes);
    const image = parsePe(bytes, 'test');
    expect(image.headerAt).toBe(0x40);
    expect(image.tableEnd).toBeLessThan(0x1f0);
    expect(image.sections.map(({ name }) => name)).toEqual(['.text', '.a', '.b', '.c', '.sotext', '.sodata']);
    expect(undoHeaderEdits(bytes, edit.edits, 'test')).toEqual(before);
  });

  test('that has no room even there is refused', () => {
    expect(() => edited(composed(0x40, ['.a', '.b', '.c', '.d']))).toThrow('no room for two more sections');
  });

  test('of another payload is not undone', () => {
    const bytes = composed(0x40);
    const { edit } = edited(bytes);
    bytes[headerField('handover_offset').offset] = 1;
    expect(() => undoHeaderEdits(bytes, edit.edits, 'test')).toThrow(
      'the manifest does not belong to the payload',
    );
  });

  test('a kernel without an EFI stub stays as it is', () => {
    const bytes = composed(0x40).fill(0, 0, 2);
    const { edit, places } = edited(bytes);
    expect(places).toEqual({ handover: 0, peEntry: 0, stubAddress: 0 });
    expect(edit.edits).toEqual([]);
  });
});

describe('the check of the result finds', () => {
  const before = parsePe(composed(0x40, ['.a']), 'test');
  const row = (image: PeImage, index: number): number => image.tableAt + 40 * index;
  test.each<[string, (image: PeImage) => readonly [number, number]]>([
    ['a writable section', (image) => [row(image, 2) + 36, 0xe0000020]],
    ['data that is executable', (image) => [row(image, 3) + 36, 0x60000040]],
    ['code that is not', (image) => [row(image, 2) + 36, 0x40000020]],
    ['a section of the kernel that has moved', (image) => [row(image, 0) + 16, 0x1000]],
    ['a gap', (image) => [row(image, 3) + 20, 0x6000]],
    ['an entry elsewhere', (image) => [image.optionalAt + 16, 0x240]],
  ])('%s', (_, damage) => {
    const bytes = composed(0x40, ['.a']);
    const { places } = edited(bytes);
    checkEfiEntries(bytes, before, places.stubAddress + entries.pe);
    const [at, value] = damage(parsePe(bytes, 'test'));
    new ByteWriter(bytes).u32(at, value);
    expect(() => {
      checkEfiEntries(bytes, before, places.stubAddress + entries.pe);
    }).toThrow();
  });
});
