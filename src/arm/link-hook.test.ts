import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { buildInto, oracle, type BuiltPayload } from '../testkit/command-line.js';
import { stockKernels } from '../testkit/stock-kernels.js';
import { hookSize, linkHook } from './link-hook.js';

const hookObject = readFileSync(fileURLToPath(new URL('../../stubs/hook.o', import.meta.url)));

interface Instruction {
  readonly address: bigint;
  readonly text: string;
}

/** objdump's disassembly of bytes that lie at an address. */
function disassemble(bytes: Uint8Array, address: bigint): Instruction[] {
  const folder = mkdtempSync(join(tmpdir(), 'saveoops-hook-'));
  try {
    const file = join(folder, 'hook.bin');
    writeFileSync(file, bytes);
    const said = oracle('objdump', [
      ...['-D', '-w', '--no-show-raw-insn', '-b', 'binary', '-m', 'i386:x86-64'],
      ...[`--adjust-vma=0x${address.toString(16)}`, file],
    ]);
    return [...said.matchAll(/^\s*([0-9a-f]+):\t(.*)$/gm)].map(([, at = '', text = '']) => ({
      address: BigInt(`0x${at}`),
      text,
    }));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Absolute addresses that instructions of a kind name, in order: branch targets, or RIP-relative operands. */
function targets(code: readonly Instruction[], pattern: RegExp): bigint[] {
  return code.flatMap(({ text }) => {
    if (!pattern.test(text)) return [];
    const hex = /# 0x([0-9a-f]+)/.exec(text)?.[1] ?? /\s0x([0-9a-f]+)\s*$/.exec(text)?.[1];
    return hex === undefined ? [] : [BigInt(`0x${hex}`)];
  });
}

describe('linkHook', () => {
  test('asks for exactly the kernel symbols that the hook uses', () => {
    const asked = new Set<string>();
    const base = 0xffffffff81000000n;
    const { bytes, symbols } = linkHook(hookObject, base, (name) => {
      asked.add(name);
      return base + 0x1000n;
    });
    expect([...asked].sort()).toEqual([
      '__nosave_end',
      '_printk',
      'early_fixup_exception',
      'early_fixup_exception_end',
      'emergency_restart',
      'kdump_nmi_shootdown_cpus',
      'kexec_crash_image',
      'level2_fixmap_pgt',
      'native_halt',
      'native_stop_other_cpus',
      'panic_cpu',
      'panic_timeout',
    ]);
    expect(bytes.length).toBe(hookSize(hookObject));
    const undefinedSymbols = oracle('nm', [
      '-u',
      fileURLToPath(new URL('../../stubs/hook.o', import.meta.url)),
    ]);
    expect([...undefinedSymbols.matchAll(/U (\w+)/g)].map(([, name]) => name).sort()).toEqual(
      [...asked].sort(),
    );
    expect(symbols.get('hook_stop')).toBe(base);
  });

  test('refuses a symbol that 32 bits do not reach', () => {
    expect(() => linkHook(hookObject, 0xffffffff81000000n, () => 0x1000n)).toThrow('not as built');
  });
});

describe.each(stockKernels())('the hook in $flavour', (kernel) => {
  let folder: string;
  let payload: BuiltPayload;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'saveoops-arm-'));
    payload = buildInto(folder, kernel.vmlinuz);
  }, 120_000);
  afterAll(() => {
    rmSync(folder, { recursive: true, force: true });
  });

  test('objdump finds calls, jumps and operands at the addresses of kallsyms', () => {
    const { edits, facts } = payload.manifest;
    const text = (name: string): string => facts.find((each) => each.name === name)?.value ?? '';
    const fact = (name: string): bigint => BigInt(text(name));
    const hook = edits.find((edit) => edit.what === 'hook in a gap of .text');
    const base = BigInt(hook?.address ?? 0);
    const code = disassemble(Buffer.from(hook?.after ?? '', 'hex'), base);
    const inside = (address: bigint): boolean =>
      address >= base && address < base + BigInt((hook?.after.length ?? 0) / 2);
    expect(targets(code, /^jmp +0x/).filter((address) => !inside(address))).toEqual([
      fact('native_stop_other_cpus'),
      fact('kdump_nmi_shootdown_cpus'),
      fact('native_halt'),
    ]);
    const [, from, to] = /^(0x\w+) to (0x\w+)$/.exec(text('early_fixup_exception')) ?? [];
    const outside = targets(code, /^lea .*rip/).filter((address) => !inside(address));
    const windowEntry = fact('level2_fixmap_pgt') + 508n * 8n;
    expect(outside).toEqual([BigInt(from ?? 0), BigInt(to ?? 0), windowEntry, windowEntry]);
    expect(targets(code, /^cmpl .*rip/)).toEqual([
      fact('panic_cpu'),
      fact('panic_cpu'),
      fact('panic_timeout'),
    ]);
    expect(targets(code, /^cmp +%rax,.*rip/)).toEqual([fact('nosave word')]);
    expect(targets(code, /^cmpq +\$0x0,.*rip/)).toEqual([fact('kexec_crash_image')]);
    const calls = targets(code, /^call/);
    expect(calls.length).toBe(7);
    expect(calls.filter((address) => !inside(address))).toEqual([fact('emergency_restart'), fact('_printk')]);
    // Every entry is a landing place for indirect branches.
    const entries = edits.filter((edit) => /^(smp_ops|pv_ops)\./.test(edit.what));
    expect(entries.length).toBe(3);
    for (const { after } of entries) {
      const address = Buffer.from(after, 'hex').readBigUInt64LE();
      expect(code.find((each) => each.address === address)?.text).toMatch(/^endbr64/);
    }
  });

  test('replaces int3 bytes and the native functions, and nothing else in the kernel', () => {
    const { edits, facts } = payload.manifest;
    const fact = (name: string): bigint => BigInt(facts.find((each) => each.name === name)?.value ?? -1);
    const before = (what: string): string => edits.find((edit) => edit.what === what)?.before ?? '';
    expect(before('hook in a gap of .text')).toMatch(/^(cc)+$/);
    const word = (what: string): bigint => Buffer.from(before(what), 'hex').readBigUInt64LE();
    expect(word('smp_ops.stop_other_cpus')).toBe(fact('native_stop_other_cpus'));
    expect(word('smp_ops.crash_stop_other_cpus')).toBe(fact('kdump_nmi_shootdown_cpus'));
    expect(word('pv_ops.irq.halt')).toBe(fact('native_halt'));
    const inKernel = edits.filter((edit) => edit.address.startsWith('0x'));
    expect(inKernel.length).toBe(4);
  });
});
