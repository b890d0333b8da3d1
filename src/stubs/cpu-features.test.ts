import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from '@jest/globals';
import { withTemporaryFolder } from '../host/files.js';
import { spread } from '../testkit/lanes.js';
import { oracle } from '../testkit/command-line.js';
import { checkCrashStub, checkHook, hookEntries } from '../testkit/cpu-rules.js';
import { disassembleStub } from '../testkit/disassembly.js';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const built = (name: string): string => join(root, 'dist', 'stubs', name);

/** Complaints about a copy of the stubs in which one piece of source text is another. */
function complaintsAfter(
  file: string,
  from: RegExp | string,
  to: string,
  object: 'hook.o' | 'crash.elf',
): Promise<string[]> {
  return withTemporaryFolder((folder) => {
    // make compiles what is newer than its object: the mutated file.
    const out = join(folder, 'out');
    const asItWas = { recursive: true, preserveTimestamps: true };
    cpSync(join(root, 'stubs'), join(folder, 'stubs'), asItWas);
    cpSync(join(root, 'dist', 'stubs'), out, asItWas);
    const path = join(folder, 'stubs', file);
    const source = readFileSync(path, 'utf8');
    const mutated = source.replace(from, to);
    if (mutated === source) throw new Error(`${file} has no ${String(from)}: adapt the mutation`);
    writeFileSync(path, mutated);
    oracle('make', ['-s', '-C', join(folder, 'stubs'), `OUT=${out}`, join(out, object)]);
    const listing = disassembleStub(join(out, object));
    return Promise.resolve(object === 'hook.o' ? checkHook(listing) : checkCrashStub(listing));
  });
}

describe('rules that TCG does not enforce', () => {
  test('the hook keeps all of them', () => {
    const listing = disassembleStub(built('hook.o'));
    expect(hookEntries(listing)).toEqual(
      expect.arrayContaining(['hook_crash_shutdown', 'hook_crash_stop', 'hook_halt', 'hook_stop']),
    );
    expect(checkHook(listing)).toEqual([]);
  });

  test('the crash stub keeps all of them', () => {
    expect(checkCrashStub(disassembleStub(built('crash.elf')))).toEqual([]);
  }, 30_000);
});

const hook = 'hook/hook.S';
const crash = 'crash/crash.S';
const deadKernel = 'crash/dead-kernel.c';
const hashBlocks = 'crash/hash-blocks.S';

describe('a stub that breaks one of them is found out', () => {
  test.each(
    spread<[string, string, RegExp | string, string, RegExp]>(9, [
      ['hook_stop without ENDBR64', hook, /(hook_stop:\n)\tendbr64\n/, '$1', /hook_stop is no ENDBR64/],
      ['hook_halt without ENDBR64', hook, /(hook_halt:\n)\tendbr64\n/, '$1', /hook_halt is no ENDBR64/],
      ['come_back without ENDBR64', hook, /(come_back:\n)\tendbr64\n/, '$1', /R11 leads to no ENDBR64/],
      ['CET left on', hook, /\tmovq\t%rax, %cr4\n/, '', /indirect branch while CR4.CET/],
      ['LASS left on', hook, '(1 << 23 | 1 << 27)', '(1 << 23)', /CR4.LASS may be on/],
      ['CET of the kernel not restored', hook, /\tmovq\t%r9, %cr4\n/, '', /CR4 is not as it was/],
      ['interrupts left on', hook, /\tcli\n/, '', /interrupts may be on/],
      ['RFLAGS not restored', hook, '\tpopfq\n', '\taddq\t$8, %rsp\n', /RFLAGS is not as it was/],
      [
        'the table of the stub on an odd page',
        hook,
        'PLACE_SCRATCH_TABLES(%rdx), %rax',
        'PLACE_SCRATCH_TABLES+0x1000(%rdx), %rax',
        /on an even page/,
      ],
      ['the table of the kernel not copied', hook, '\trep movsq\n', '', /not a copy/],
      [
        'CR3 masked on the way back',
        hook,
        /(\tmovq\t)%r8, %cr3/,
        '\tandq\t$-4096, %r8\n$1%r8, %cr3',
        /CR3 is neither/,
      ],
      ['CR3 not restored', hook, /\tmovq\t%r8, %cr3\n/, '', /CR3 is not as it was/],
      ['RBX used for the sum', hook, 'xorl\t%r11d, %r11d', 'xorl\t%ebx, %ebx', /rbx is not as panic/],
      ['RDI used for the sum', hook, '$WINDOW, %rsi', '$WINDOW, %rdi', /rdi is not as panic/],
      ['the window left open', hook, '\tmovq\t%rcx, (%r9)\n', '', /the window is open/],
      ['the second window left open', hook, '\tmovq\t%rcx, 8(%r9)\n', '', /the window is open/],
      [
        'the native function called through a register',
        hook,
        '\tjmp\tnative_halt',
        '\tleaq\tnative_halt(%rip), %rax\n\tjmp\t*%rax',
        /indirect branch while CR4.CET/,
      ],
      [
        'CET kept for the crash kernel',
        crash,
        /\tbtrq\t\$23, %rcx\n(?=\tbtrq\t\$17)/,
        '\tbtsq\t$23, %rcx\n',
        /CR4.CET may be set/,
      ],
      ['PCIDE kept while paging goes off', crash, /\tbtrq\t\$17, %rcx\n/, '', /paging goes off while/],
      ['FRED kept while paging goes off', crash, /\tbtrq\t\$32, %rcx\n/, '', /paging goes off while/],
      ['CR4 not written in 64-bit mode', crash, /\tmovq\t%rcx, %cr4\n/, '', /paging goes off while/],
      [
        'EFER before CR0',
        crash,
        /(\tpaging_off\n)(\tmovl\t\$0xc0000080[^]*?wrmsr\n)/,
        '$2$1',
        /EFER is written while paging/,
      ],
      [
        'CR4 before EFER',
        crash,
        /(\tmovl\t\$0xc0000080[^]*?wrmsr\n)(\tmovl\t%edx, %cr4\n)/,
        '$2$1',
        /CR4 is cleared|CR4 is written|CR4 other than 0/,
      ],
      ['EFER left as it is', crash, /\twrmsr\n/, '', /EFER.LME/],
      ['a call of the kernel with any direction', crash, /\tcld\n(\tcall\t\*%rsi)/, '$1', /direction flag/],
      [
        'a call of the kernel on any stack',
        crash,
        /\tandq\t\$-16, %rsp\n(\tmovq\t%rdx, %rdi)/,
        '$1',
        /not aligned/,
      ],
      [
        'interrupts on after a call of the kernel',
        crash,
        /(call\t\*%rsi\n)\tcli\n/,
        '$1',
        /interrupts may be on/,
      ],
      [
        'R12 given back from the wrong place',
        crash,
        /STATE_R12\(%rcx\), %r12/,
        'STATE_R13(%rcx), %r12',
        /r12 goes back/,
      ],
      [
        'another table of its own on the way',
        deadKernel,
        /(\tvolatile char \*there = .*\n)/,
        '$1\t__asm__ volatile("mov %0, %%cr3" : : "r"(table->region + PLACE_IDT));\n',
        /on an even page/,
      ],
      [
        'CET kept that the kernel has turned on',
        crash,
        /(call\t\*%rsi\n\tcli\n)[^]*?%cr4\n/,
        '$1',
        /CR4.CET may be/,
      ],
      [
        'VMX left before the VMCSs are cleared',
        crash,
        /\tcall\tcall_kernel\n(\tmovq\t%cr4, %rax\n\tbtrq\t\$13)/,
        '$1',
        /before the loaded VMCSs/,
      ],
      ['SHA extensions unasked', hashBlocks, /\tbtl\t\$29, %ebx.*\n\tjnc\t1f\n/, '', /the CPU may lack SHA/],
      ['the bit of SHA the wrong way', hashBlocks, /(\$29, %ebx.*\n\t)jnc/, '$1jc', /the CPU may lack SHA/],
      ['another bit for SHA', hashBlocks, '$29, %ebx', '$28, %ebx', /the CPU may lack SHA/],
      ['SSSE3 unasked', hashBlocks, /\tbtl\t\$9, %ecx.*\n\tjnc\t1f\n/, '', /the CPU may lack SSSE3/],
      ['SSE4.1 unasked', hashBlocks, /\tbtl\t\$19, %ecx.*\n\tjnc\t1f\n/, '', /the CPU may lack SSE4.1/],
      ['CR0.TS left on', hashBlocks, 'CR0_EM_TS 0xc', 'CR0_EM_TS 0x4', /CR0.EM or TS may be on/],
      ['OSFXSR left off', hashBlocks, 'CR4_OSFXSR_BIT 9', 'CR4_OSFXSR_BIT 10', /CR4.OSFXSR may be off/],
      ['a vector register not saved', hashBlocks, '7, 8, 9, 10', '7, 8, 9', /xmm10 was not saved/],
      [
        'a vector register from the wrong place',
        hashBlocks,
        '16*\\n(%rsp), %xmm',
        '160-16*\\n(%rsp), %xmm',
        /xmm0 is not as the kernel had it/,
      ],
      ['CR0 not given back', hashBlocks, /\tmovq\t%r8, %cr0\n/, '', /CR0 is not as the kernel had it/],
      ['CR4 not given back', hashBlocks, /\tmovq\t%r9, %cr4\n/, '', /CR4 is not as the kernel had it/],
      ['no last resort', 'crash/main.c', '\ttriple_fault();\n', '\tfor (;;)\n\t\t;\n', /no triple fault/],
      [
        'CET on where CR0.WP goes',
        deadKernel,
        /(\tu64 cr0;\n\n)/,
        '$1\t__asm__ volatile("mov %0, %%cr4" : : "r"(0x8006f0ull));\n',
        /CR0 is written while CR4.CET/,
      ],
    ]),
  )(
    '%s',
    async (_, file, from, to, complaint) => {
      const object = file === hook ? 'hook.o' : 'crash.elf';
      const complaints = await complaintsAfter(file, from, to, object);
      expect(complaints.filter((each) => complaint.test(each))).not.toEqual([]);
    },
    30_000,
  );

  test.each<[string, string, RegExp | string, string]>([
    ['the order of two bits', crash, /(\tbtrq\t\$23, %rcx\n)(\tbtrq\t\$17, %rcx\n)/, '$2$1'],
    [
      'another register',
      'include/modes.h',
      /movl\t%cr0, %edx\n\tandl\t(.*), %edx(.*)\n\tmovl\t%edx, %cr0/,
      'movl\t%cr0, %ecx\n\tandl\t$1, %ecx$2\n\tmovl\t%ecx, %cr0',
    ],
    ['a nop at the start', hook, /(hook_stop:\n\tendbr64\n)/, '$1\tnop\n'],
  ])(
    'but %s is no matter',
    async (_, file, from, to) => {
      const object = file === hook ? 'hook.o' : 'crash.elf';
      expect(await complaintsAfter(file, from, to, object)).toEqual([]);
    },
    30_000,
  );
});
