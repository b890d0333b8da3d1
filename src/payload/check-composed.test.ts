import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { ByteWriter } from '../bytes/byte-writer.js';
import { parsePe } from '../formats/pe/parse-pe.js';
import { buildInto, runSaveoops } from '../testkit/command-line.js';
import { writePe } from '../testkit/pe-writer.js';
import { stockKernels } from '../testkit/stock-kernels.js';
import { checkComposed, checkOnlyDeclared, declaredEntries } from './check-composed.js';
import { addEfiEntries } from './efi-entries.js';
import { HeaderEditor, headerField } from './header-editor.js';

const setupSize = 0x400;
const stubAt = 0x2000;

/** A composed file around a kernel whose section ends at 0x1800, and its setup sectors before. */
function composed(headerAt: number): { bytes: Uint8Array; setup: Uint8Array; edit: HeaderEditor } {
  const bytes = new Uint8Array(0x8000);
  bytes.set(writePe(0x1800, headerAt, []));
  new ByteWriter(bytes).u32(headerField('handover_offset').offset, 0x140);
  const setup = bytes.slice(0, setupSize);
  const edit = new HeaderEditor(bytes);
  edit.setHeader('code32_start', 0x101c00);
  addEfiEntries(edit, { stubAt, setupSize }, { handover: 0x100, pe: 0x180, textEnd: 0x1000 });
  return { bytes, setup, edit };
}

describe('the headers of a composed image', () => {
  test.each([0x40, 0x82])('with the PE header at 0x%x are the declared ones', (headerAt) => {
    const { bytes, setup, edit } = composed(headerAt);
    checkOnlyDeclared(bytes, setup, edit.edits);
    expect(checkComposed(bytes, setupSize, edit.edits, 'test')).toEqual(setup);
    expect(declaredEntries(edit.edits)).toEqual(['32-bit', 'EFI handover', 'PE']);
  });

  test('are refused with one undeclared byte', () => {
    const { bytes, setup, edit } = composed(0x40);
    bytes.fill(1, 0x3f0, 0x3f1);
    expect(() => {
      checkOnlyDeclared(bytes, setup, edit.edits);
    }).toThrow(/not what was intended/);
  });

  test('are refused without a declared one', () => {
    const { bytes, setup, edit } = composed(0x40);
    const edits = edit.edits.filter(({ what }) => what !== 'setup header handover_offset');
    expect(() => {
      checkOnlyDeclared(bytes, setup, edits);
    }).toThrow(/not what was intended/);
    bytes.fill(1, headerField('handover_offset').offset, headerField('handover_offset').offset + 1);
    expect(() => checkComposed(bytes, setupSize, edit.edits, 'test')).toThrow(/does not belong/);
  });

  test('are refused with declared entries that do not lead to our code', () => {
    const { bytes, edit } = composed(0x40);
    const [first] = parsePe(bytes, 'test').sections;
    const elsewhere = Buffer.alloc(4);
    elsewhere.writeUInt32LE(first?.virtualAddress ?? 0);
    edit.put('PE header AddressOfEntryPoint', parsePe(bytes, 'test').optionalAt + 16, elsewhere);
    expect(() => checkComposed(bytes, setupSize, edit.edits, 'test')).toThrow(/PE header/);
  });
});

test('inspect tells by which ways a payload of a stock kernel is entered', () => {
  const folder = mkdtempSync(join(tmpdir(), 'saveoops-entries-'));
  try {
    const { file } = buildInto(folder, stockKernels()[0]?.vmlinuz ?? '', []);
    const { stdout, status } = runSaveoops(['inspect', file]);
    expect(status).toBe(0);
    expect(/^entries .*$/m.exec(stdout)?.[0]).toBe('entries   32-bit, EFI handover, PE');
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}, 60_000);
