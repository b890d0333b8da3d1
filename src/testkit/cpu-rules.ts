/**
 * Rules of the processor that QEMU's TCG does not enforce, checked over hook and crash stub (docs/testing.md, "CPU
 * features that were never run"). Each function gives complaints; none means that every path keeps every rule.
 */
import {
  afterCall,
  clears,
  constant,
  interpret,
  isExactly,
  known,
  newState,
  origin,
  register,
  unknown,
  vectorRegisters,
  type State,
  type Step,
  type Value,
} from './abstract-machine.js';
import type { Instruction, Listing } from './disassembly.js';
import { fixmapTable } from '../arm/fixmap-window.js';
import { regionPlaces } from '../stubs/shared-layout.js';

const EM = 2;
const TS = 3;
const OSFXSR = 9;
const PCIDE = 17;
const CET = 23;
const LASS = 27;
const FRED = 32;

/** What panic()'s way back needs: callee-saved registers, and the native function's argument. */
const kept = ['rbx', 'rbp', 'r12', 'r13', 'r14', 'r15', 'rdi'];
const keptAsTheyWere = (): [string, ReturnType<typeof origin>][] => kept.map((name) => [name, origin(name)]);

const cr0AtEntry = origin('cr0', 0n, 0x80010001n); // PG, WP, PE

function instructions(listing: Listing): Instruction[] {
  return [...listing.code[64].values()];
}

function isLandingPlace(listing: Listing, address: bigint | undefined): boolean {
  return listing.code[64].get(Number(address ?? -1n))?.mnemonic === 'endbr64';
}

/** Critical instructions that no path reached were checked by nobody. */
function unchecked(code: Iterable<Instruction>, reached: ReadonlySet<number>): string[] {
  return [...code]
    .filter(({ indirect, text, address }) => (indirect || /%cr\d|wrmsr/.test(text)) && !reached.has(address))
    .map(({ address, text }) => `0x${address.toString(16)} ${text}: no path of the checker leads here`);
}

/**
 * The stub's top-level table, on an even page: with page-table isolation the kernel's entry code takes a CR3 with bit 12
 * set for a user table and goes on with the page below (PTI_USER_PGTABLE_BIT, arch/x86/entry/calling.h).
 */
function isOwnTable(value: Value | undefined): boolean {
  const { from, offset, changed } = value ?? unknown;
  return from === 'region' && changed === 0n && offset === regionPlaces.SCRATCH_TABLES && offset % 8192 === 0;
}

/** The hook's entries: its global symbols, but for the data. */
export function hookEntries(listing: Listing): string[] {
  return [...listing.globals].filter((name) => name !== 'hook_slots').sort();
}

/** Rules for hook.o. SLOT_REGION is at 0 of hook_slots (stubs/include/hook-slots.h). */
export function checkHook(listing: Listing): string[] {
  const complaints: string[] = [];
  const reached = new Set<number>();
  const slots = listing.labels.get('hook_slots') ?? 0;
  const load = (name: string, offset: number): ReturnType<typeof origin> => {
    if (name === fixmapTable) return constant(0n);
    return name === 'hook_slots' && offset === 0 ? origin('region') : unknown;
  };

  const ownTables = (state: State): boolean => !isExactly(state.control.get('cr3'), 'cr3');
  const windowOpen = ({ memory }: State): boolean =>
    [...memory].some(([place, entry]) => place.startsWith(fixmapTable) && known(entry) !== 0n);
  const asPanicLeftThem = ({ state, say }: Step): void => {
    for (const name of kept)
      if (!isExactly(register(state, name), name)) say(`${name} is not as panic() left it`);
  };
  const rules = (step: Step): void => {
    const { instruction, state, value, say } = step;
    const { mnemonic, operands, indirect } = instruction;
    const written = operands.at(-1);
    if (ownTables(state) && !clears(state.control.get('cr4') ?? unknown, LASS))
      say('the low half is used while CR4.LASS may be on');
    if (instruction.text.startsWith('rep movs')) state.control.set('copied', constant(1n));
    if (indirect && !clears(state.control.get('cr4') ?? unknown, CET))
      say('indirect branch while CR4.CET may be on');
    if (mnemonic === 'mov' && written?.kind === 'register' && written.name === 'cr3') {
      const loaded = value(operands[0]);
      if (!isOwnTable(loaded) && !isExactly(loaded, 'cr3'))
        say("CR3 is neither the stub's table, on an even page, nor what it was");
      if (isOwnTable(loaded) && state.control.get('copied') === undefined)
        say("the stub's table is not a copy of the kernel's");
      if (windowOpen(state)) say('the window is open');
    }
    if (mnemonic === 'mov' && written?.kind === 'register' && written.name === 'cr0')
      say('the hook owns no CR0');
  };
  const asTheKernelHadIt = ({ state, say }: Step): void => {
    if (!isExactly(state.control.get('cr3'), 'cr3')) say('CR3 is not as it was');
    if (!isExactly(state.control.get('cr4'), 'cr4')) say('CR4 is not as it was');
    if (state.interrupts !== 'entry') say('RFLAGS is not as it was');
    if (windowOpen(state)) say('the window is open');
  };
  const leave = (step: Step): number | undefined => {
    const { instruction, state, say } = step;
    const { mnemonic, indirect } = instruction;
    if (mnemonic.startsWith('call') && !indirect) {
      asTheKernelHadIt(step);
      afterCall(state);
      state.interrupts = 'entry'; // _printk() gives the flag back as it got it.
      return instruction.next;
    }
    asPanicLeftThem(step);
    if (indirect) {
      if (!isExactly(register(state, 'rdx'), 'region')) say('RDX is not the crash region');
      if (!isExactly(register(state, 'r8'), 'cr3')) say('R8 is not CR3 as it was');
      if (!isExactly(register(state, 'r9'), 'cr4')) say('R9 is not CR4 as it was');
      const stack = register(state, 'r10');
      if (stack.from !== 'rsp' || stack.offset !== -24)
        say('R10 is not the stack with flags, entry and two returns');
      const back = known(register(state, 'r11'));
      if (!isLandingPlace(listing, back)) say('R11 leads to no ENDBR64');
      if (!isOwnTable(state.control.get('cr3'))) say("CR3 is not the stub's table");
      if (state.interrupts !== 'off') say('interrupts may be on');
      if (!mnemonic.startsWith('jmp')) say('calls through a register');
      // The crash stub may refuse.
      for (const name of ['rax', 'rcx', 'rdx', 'rsi', 'r11', 'rsp']) state.registers.set(name, unknown);
      return back === undefined ? undefined : Number(back);
    }
    if (mnemonic !== 'jmp') say('leaves the hook other than by a direct jump');
    asTheKernelHadIt(step);
    if (!isExactly(register(state, 'rsp'), 'rsp')) say('RSP is not as it was');
    return undefined;
  };
  const control = [origin('cr3'), origin('cr4')] as const;
  for (const name of hookEntries(listing)) {
    const address = listing.labels.get(name) ?? 0;
    if (!isLandingPlace(listing, BigInt(address))) complaints.push(`${name} is no ENDBR64`);
    const initial = newState({
      registers: new Map([...keptAsTheyWere(), ['rsp', origin('rsp')]]),
      control: new Map([
        ['cr3', control[0]],
        ['cr4', control[1]],
        ['cr0', cr0AtEntry],
      ]),
    });
    const analysis = interpret(listing, address, initial, { rules, leave, load });
    complaints.push(...analysis.complaints);
    analysis.reached.forEach((each) => reached.add(each));
  }
  const text = Math.min(slots, listing.labels.get('not_captured') ?? slots);
  const code = instructions(listing).filter(({ address }) => address < text);
  complaints.push(...unchecked(code, reached));
  return [...new Set(complaints)];
}

/** Instructions that not every 64-bit CPU has: the leaf of CPUID and the bit that tell of them. */
const extensions: readonly [RegExp, string, string, number][] = [
  [/^sha256/, 'SHA', 'cpuid7.ebx', 29],
  [/^(pshufb|palignr)/, 'SSSE3', 'cpuid1.ecx', 9],
  [/^pblendw/, 'SSE4.1', 'cpuid1.ecx', 19],
];

/** Vector instructions: where they fault, what the CPU may lack, and the dead kernel's registers. */
function checkVectors({ instruction, state, say }: Step): void {
  const { mnemonic, operands } = instruction;
  const named = operands.flatMap((each) =>
    each.kind === 'register' && vectorRegisters.includes(each.name) ? [each.name] : [],
  );
  for (const [pattern, name, leaf, bit] of extensions)
    if (pattern.test(mnemonic) && !hasBit(state.control.get(leaf), bit)) say(`the CPU may lack ${name}`);
  if (named.length === 0) return;
  if (!clears(state.control.get('cr0') ?? unknown, EM, TS)) say('CR0.EM or TS may be on');
  if (!hasBit(state.control.get('cr4'), OSFXSR)) say('CR4.OSFXSR may be off');
  const written = operands.at(-1);
  if (written?.kind !== 'register') return;
  const held = [...state.memory.values()].some((value) => isExactly(value, written.name));
  if (isExactly(register(state, written.name), written.name) && !held) say(`${written.name} was not saved`);
}

function hasBit(value: Value | undefined, bit: number): boolean {
  return (((value ?? unknown).ones >> BigInt(bit)) & 1n) === 1n;
}

/** What the dead kernel, or who reads its dump, finds of them. */
function checkVectorsGivenBack({ state, say }: Step): void {
  for (const name of vectorRegisters)
    if (!isExactly(register(state, name), name)) say(`${name} is not as the kernel had it`);
  const [cr0, cr4] = ['cr0', 'cr4'].map((name) => state.control.get(name) ?? unknown);
  if (cr0?.from !== 'cr0' || cr0.changed & bits(EM, TS)) say('CR0 is not as the kernel had it');
  if (cr4?.from !== 'cr4' || cr4.changed & bits(OSFXSR)) say('CR4 is not as the kernel had it');
}

const bits = (...list: number[]): bigint => list.reduce((mask, bit) => mask | (1n << BigInt(bit)), 0n);

/**
 * Rules for crash.elf, from crash_entry in the state in which the hook jumps there. Functions of the dead kernel may write
 * CR4, from the kernel's own copy of it, but for LASS: with that they could not return.
 */
export function checkCrashStub(listing: Listing): string[] {
  const { CRASH_TABLE } = regionPlaces;
  const state = newState({
    registers: new Map([
      ...keptAsTheyWere(),
      ...vectorRegisters.map((name): [string, Value] => [name, origin(name)]),
      ['rdx', origin('region')],
      ['r8', origin('cr3')],
      ['r9', origin('cr4')],
      ['r10', origin('rsp')],
      ['r11', origin('back')],
    ]),
    control: new Map([
      ['cr3', { ...origin('region'), offset: regionPlaces.SCRATCH_TABLES }],
      ['cr4', { ...origin('cr4'), zeros: 1n << BigInt(CET), changed: 1n << BigInt(CET) }],
      ['cr0', cr0AtEntry],
    ]),
    interrupts: 'off',
  });
  // struct crash_table: magic, level5, region (stubs/include/crash-table.h).
  const load = (from: string, offset: number): ReturnType<typeof origin> =>
    from === 'region' && offset === CRASH_TABLE + 8 ? origin('region') : unknown;
  const leaveVmx = listing.labels.get('leave_vmx');
  const off = (at: State, ...bits: number[]): boolean => clears(at.control.get('cr4') ?? unknown, ...bits);

  const rules = (step: Step): void => {
    const { instruction, state: now, value, say } = step;
    const { mnemonic, operands, indirect } = instruction;
    const written = operands.at(-1);
    checkVectors(step);
    const paging = !clears(now.control.get('cr0') ?? unknown, 31);
    if (indirect && !off(now, CET)) say('indirect branch while CR4.CET may be on');
    if (/^ret/.test(mnemonic) && now.interrupts !== 'off')
      say('interrupts may be on behind a call of the kernel');
    if (instruction.address === leaveVmx) now.control.delete('vmcss');
    if (mnemonic === 'vmxoff' && now.control.get('vmcss') === undefined)
      say('VMX operation is left before the loaded VMCSs are cleared');
    if (mnemonic === 'wrmsr' && known(register(now, 'rcx')) === 0xc0000080n) {
      if (paging) say('EFER is written while paging may be on');
      if (!clears(register(now, 'rax'), 8, 10, 11)) say('EFER keeps LME, LMA or NXE');
    }
    if (mnemonic !== 'mov' || written?.kind !== 'register' || !written.name.startsWith('cr')) return;
    const loaded = value(operands[0]);
    if (written.name === 'cr0') {
      if (!off(now, CET)) say('CR0 is written while CR4.CET may be on');
      if (!(loaded.ones & (1n << 31n)) && paging) {
        if (!off(now, CET, PCIDE, FRED)) say('paging goes off while CR4.CET, PCIDE or FRED may be on');
        if (now.mode !== 32) say('paging goes off in 64-bit mode');
      }
    }
    if (written.name === 'cr4') {
      if (!clears(loaded, CET)) say('CR4.CET may be set');
      if (now.mode !== 64 && paging) say('CR4 is written outside 64-bit mode while paging may be on');
      if (known(loaded) === 0n && !now.longModeOff) say('CR4 is cleared before EFER');
    }
    if (written.name === 'cr3') {
      if (!isOwnTable(loaded) && paging) say("CR3 is not the stub's table, on an even page");
    }
  };

  const leave = (step: Step): number | undefined => {
    const { instruction, state: now, say } = step;
    if (now.mode === 64) checkVectorsGivenBack(step);
    if (now.mode === 32) {
      if (!now.longModeOff) say('the crash kernel starts with EFER.LME, LMA or NXE');
      if (known(now.control.get('cr4')) !== 0n) say('the crash kernel starts with CR4 other than 0');
      if (!clears(now.control.get('cr0') ?? unknown, 31)) say('the crash kernel starts with paging');
      if (now.interrupts !== 'off') say('the crash kernel starts with interrupts');
      return undefined;
    }
    if (instruction.mnemonic.startsWith('call')) {
      if (!now.directionClear) say('the direction flag may be set in a call of the kernel');
      if ((register(now, 'rsp').zeros & 15n) !== 15n) say('the stack of a call of the kernel is not aligned');
      afterCall(now);
      now.control.set('cr4', origin('cr4'));
      now.control.set('vmcss', constant(0n));
      return instruction.next;
    }
    if (!isExactly(step.value(instruction.operands[0]), 'back')) say('leads neither back to the hook nor on');
    for (const name of kept)
      if (!isExactly(register(now, name), name)) say(`${name} goes back other than it came`);
    for (const [name, from] of [
      ['r8', 'cr3'],
      ['r9', 'cr4'],
      ['r10', 'rsp'],
    ] as const)
      if (!isExactly(register(now, name), from)) say(`${name} goes back other than it came`);
    if (now.interrupts !== 'off') say('interrupts may be on when the hook goes on');
    return undefined;
  };
  const { complaints, reached } = interpret(listing, listing.labels.get('crash_entry') ?? 0, state, {
    rules,
    leave,
    load,
    computes: new Set([listing.labels.get('plain_blocks') ?? -1]),
  });
  const lastResort = instructions(listing).some(
    ({ mnemonic, address }) => mnemonic === 'int3' && reached.has(address),
  );
  if (!lastResort) complaints.push('no triple fault ends a machine that has no other way to reset');
  return [...complaints, ...unchecked(instructions(listing), reached)];
}
