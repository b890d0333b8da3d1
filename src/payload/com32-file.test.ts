import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { spread } from '../testkit/lanes.js';
import { runSaveoops, buildInto, oracle, type BuiltPayload } from '../testkit/command-line.js';
import { stockKernels } from '../testkit/stock-kernels.js';
import { chunkDef, loadTableDef, maxChunks, offsetOf, structSize } from '../stubs/shared-layout.js';

let folder: string;
let payload: BuiltPayload;
const initrds = [10_000, 4096].map((size, seed) => Buffer.alloc(size, `initrd ${seed}`));

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'saveoops-com32-'));
  const names = initrds.map((bytes, index) => {
    const name = join(folder, `initrd-${index}.img`);
    writeFileSync(name, bytes);
    return name;
  });
  const args = names.flatMap((name) => ['--initrd', name]);
  payload = buildInto(join(folder, 'out'), stockKernels()[0]?.vmlinuz ?? '', [...args, '--append', 'quiet']);
}, 120_000);

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

interface Section {
  readonly type: string;
  readonly offset: number;
  readonly size: number;
}

/** `readelf -SW`: name -> what it says. */
function sections(file: string): Map<string, Section> {
  const row = /^\s*\[\s*\d+\]\s+(\S+)\s+([A-Z_]+)\s+[0-9a-f]+\s+([0-9a-f]+)\s+([0-9a-f]+)/;
  const found = new Map<string, Section>();
  for (const line of oracle('readelf', ['-SW', file]).split('\n')) {
    const [, name, type, offset, size] = row.exec(line) ?? [];
    if (name === undefined || type === undefined) continue;
    found.set(name, { type, offset: parseInt(offset ?? '', 16), size: parseInt(size ?? '', 16) });
  }
  return found;
}

describe('saveoops.c32', () => {
  test('readelf shows a section for every region, at its place', () => {
    const shown = sections(payload.file);
    for (const { name, offset, size } of payload.manifest.regions) {
      if (name === 'module') continue;
      const section = shown.get(name === 'notes' ? '.note.saveoops' : `.saveoops.${name}`);
      expect([name, section?.offset, section?.size]).toEqual([name, offset, size]);
    }
    expect(shown.get('.note.saveoops')?.type).toBe('NOTE');
  });

  test('readelf finds the section headers before the payload', () => {
    const header = oracle('readelf', ['-hW', payload.file]);
    const start = Number(/Start of section headers:\s+(\d+)/.exec(header)?.[1]);
    const count = Number(/Number of section headers:\s+(\d+)/.exec(header)?.[1]);
    const head = payload.manifest.regions[0];
    expect(head?.name).toBe('module');
    expect(start + 40 * count).toBeLessThanOrEqual(head?.size ?? 0);
    expect(header).toMatch(/Type:\s+DYN/);
  });

  test('readelf reads the VMCOREINFO note', () => {
    const notes = oracle('readelf', ['-nW', payload.file]);
    expect(notes).toMatch(/Displaying notes found in: \.note\.saveoops\n.*\n\s+VMCOREINFO\s/);
  });

  test('sha256sum agrees with the manifest on every region', () => {
    for (const { name, offset, size, sha256 } of payload.manifest.regions) {
      const said = oracle('sha256sum', ['-'], payload.bytes.subarray(offset, offset + size));
      expect([name, said.split(' ')[0]]).toEqual([name, sha256]);
    }
  });

  test('regions are disjoint, ascending, and lie on 4 KiB boundaries but for the setup sectors', () => {
    let end = 0;
    for (const { name, offset, size } of payload.manifest.regions) {
      expect([name, offset >= end]).toEqual([name, true]);
      if (name !== 'primary') expect([name, offset % 4096]).toEqual([name, 0]);
      end = offset + size;
    }
    expect(end).toBeLessThan(payload.bytes.length);
  });

  test('the load table lists the chunks in file order; xxhsum agrees with its sums', () => {
    const { bytes } = payload;
    const table = bytes.indexOf('SvLd');
    const u32 = (at: number): number => bytes.readUInt32LE(at);
    let at = u32(table + offsetOf(loadTableDef, 'head_size'));
    expect(u32(table + offsetOf(loadTableDef, 'offset'))).toBe(table);
    const head = Buffer.from(bytes.subarray(0, at)).fill(0, table, table + structSize(loadTableDef));
    const headSum = u32(table + offsetOf(loadTableDef, 'head_xxh32')).toString(16);
    expect(oracle('xxhsum', ['-H0', '-'], head).split(/\s/)[0]).toBe(headSum.padStart(8, '0'));
    const kinds: number[] = [];
    for (let i = 0; i < maxChunks; i++) {
      const chunk = table + offsetOf(loadTableDef, 'chunk') + i * structSize(chunkDef);
      const kind = u32(chunk + offsetOf(chunkDef, 'kind'));
      if (kind === 0) break;
      kinds.push(kind);
      const checked = bytes.subarray(at, at + u32(chunk + offsetOf(chunkDef, 'checked_size')));
      const sum = bytes
        .readBigUInt64LE(chunk + offsetOf(chunkDef, 'xxh3'))
        .toString(16)
        .padStart(16, '0');
      expect(oracle('xxhsum', ['-H3', '-'], checked).trim().split(' ').at(-1)).toBe(sum);
      expect(checked.length).toBeGreaterThan(240);
      if (kind === 2) {
        const content = checked.subarray(0, u32(chunk + offsetOf(chunkDef, 'size')));
        expect(content.equals(initrds[kinds.length - 2] ?? Buffer.alloc(0))).toBe(true);
        expect(checked.length - content.length).toBeLessThan(4096);
      }
      at += u32(chunk + offsetOf(chunkDef, 'stored_size'));
    }
    expect(kinds).toEqual([1, 2, 2]);
  });

  test('a second build gives the same bytes, in every file', () => {
    const again = buildInto(join(folder, 'again'), stockKernels()[0]?.vmlinuz ?? '', [
      ...initrds.flatMap((_, index) => ['--initrd', join(folder, `initrd-${index}.img`)]),
      ...['--append', 'quiet'],
    ]);
    expect(again.bytes.equals(payload.bytes)).toBe(true);
    expect(() => oracle('diff', ['-r', join(folder, 'out'), join(folder, 'again')])).not.toThrow();
  }, 60_000);

  test('inspect accepts it, gives the manifest back, and names the region of any flipped byte', () => {
    const whole = runSaveoops(['inspect', '--json', payload.file]);
    expect([whole.status, JSON.parse(whole.stdout)]).toEqual([0, payload.manifest]);
    const copy = join(folder, 'damaged.c32');
    for (const { name, offset, size } of spread(5, payload.manifest.regions)) {
      const bytes = Buffer.from(payload.bytes);
      // In the module: behind the ELF header, whose damage makes it another kind of file.
      const place = name === 'module' ? 0x500 : offset + (size >> 1);
      bytes.writeUInt8(bytes.readUInt8(place) ^ 0x10, place);
      writeFileSync(copy, bytes);
      const { status, stdout, stderr } = runSaveoops(['inspect', copy]);
      expect([name, status]).toEqual([name, 65]);
      expect(stdout).toMatch(new RegExp(`^${name} .*DAMAGED`, 'm'));
      expect(stderr).toContain(`${name}: other bytes than were written`);
    }
  }, 60_000);

  test('inspect notices a flipped byte of the manifest and of its digest', () => {
    const copy = join(folder, 'damaged.c32');
    for (const place of [payload.bytes.length - 1, payload.bytes.length - 500]) {
      const bytes = Buffer.from(payload.bytes);
      bytes.writeUInt8(bytes.readUInt8(place) ^ 1, place);
      writeFileSync(copy, bytes);
      const { status, stderr } = runSaveoops(['inspect', copy]);
      expect(status).toBe(65);
      expect(stderr).toContain('the manifest of the payload is damaged');
    }
  });
});
