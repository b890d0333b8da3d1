import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { buildInto, oracle } from '../testkit/command-line.js';
import { loadVmlinux, stockKernels } from '../testkit/stock-kernels.js';
import { parseKallsyms } from '../formats/kallsyms/kallsyms.js';

// As the kernel it is compared with in qemu-tests; here against pahole and kallsyms.
describe.each(stockKernels())('synthesised VMCOREINFO of $flavour', (kernel) => {
  let folder: string;
  const lines = new Map<string, string>();
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'saveoops-info-'));
    const { bytes, manifest } = buildInto(folder, kernel.vmlinuz);
    const region = manifest.regions.find(({ name }) => name === 'notes');
    const note = bytes.subarray(region?.offset, (region?.offset ?? 0) + (region?.size ?? 0));
    const text = note.subarray(24, 24 + note.readUInt32LE(4)).toString('latin1');
    for (const line of text.trimEnd().split('\n')) {
      const [key = '', value = ''] = line.split('=', 2);
      expect([key, lines.has(key)]).toEqual([key, false]);
      lines.set(key, value);
    }
    const elf = await loadVmlinux(kernel);
    writeFileSync(join(folder, 'btf'), elf.sectionBytes(elf.requireSection('.BTF')));
  }, 120_000);
  afterAll(() => {
    rmSync(folder, { recursive: true, force: true });
  });

  test('sizes and offsets of structures are those of pahole', () => {
    const wanted = [...lines].filter(([key]) => /^(SIZE|OFFSET)\(/.test(key));
    let compared = 0;
    const said = new Map<string, string>();
    for (const [key, value] of wanted) {
      const [, kind, type = '', member] = /^(\w+)\((\w+)(?:\.(\w+))?\)$/.exec(key) ?? [];
      // pahole finds structures by name, not typedefs.
      if (type.endsWith('_t')) continue;
      let text = said.get(type);
      text ??= oracle('pahole', ['-F', 'btf', '-C', type, join(folder, 'btf')]);
      said.set(type, text);
      const found =
        kind === 'SIZE'
          ? /\/\* size: (\d+)/.exec(text)?.[1]
          : new RegExp(`\\b${member ?? ''}(?:\\[\\w+\\])*;\\s*/\\*\\s+(\\d+)\\s+\\d+ \\*/`).exec(text)?.[1];
      // Members of expanded anonymous unions: pahole shows them with their offsets as well.
      if (found === undefined) continue;
      expect([key, value]).toEqual([key, found]);
      compared++;
    }
    expect(compared).toBeGreaterThan(40);
    expect(compared / wanted.length).toBeGreaterThan(0.85);
  });

  test('symbols are those of kallsyms, and each has sixteen digits in the table of fixups', async () => {
    const kallsyms = parseKallsyms(await loadVmlinux(kernel));
    const symbols = [...lines].filter(([key]) => key.startsWith('SYMBOL('));
    let compared = 0;
    for (const [key, value] of symbols) {
      const name = /\((.*)\)/.exec(key)?.[1] ?? '';
      expect(value).toMatch(/^ffffffff[0-9a-f]{8}$/);
      const address = kallsyms.address(name);
      if (address === undefined) continue; // macros, and the tables of kallsyms itself
      expect([key, value]).toEqual([key, address.toString(16)]);
      compared++;
    }
    expect(compared).toBeGreaterThan(5);
    const manifest = JSON.parse(readFileSync(join(folder, 'saveoops.json'), 'utf8')) as {
      regions: { name: string; size: number }[];
    };
    expect(manifest.regions.find(({ name }) => name === 'fixups')?.size).toBe(4 * symbols.length);
  }, 120_000);

  test('says what vmcore-dmesg and makedumpfile look for first', () => {
    for (const key of ['OSRELEASE', 'BUILD-ID', 'PAGESIZE', 'SYMBOL(prb)', 'SYMBOL(init_uts_ns)']) {
      expect([key, lines.has(key)]).toEqual([key, true]);
    }
    expect(lines.get('PAGESIZE')).toBe('4096');
    const release = /vmlinuz-(.*)$/.exec(kernel.vmlinuz)?.[1];
    if (release !== undefined) expect(lines.get('OSRELEASE')).toBe(release);
  });
});
