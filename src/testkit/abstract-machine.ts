/**
 * What the bare-metal stubs do to registers, stack slots and control registers, on every path at once: an abstract
 * interpretation of a disassembly (see disassembly.ts). A value is known by its bits, and by what it was made from.
 *
 * Paths meet by keeping what they agree on, so a rule that holds here holds on all of them. Stores through pointers
 * of unknown origin are taken not to hit the stack and the state page.
 */
import type { Instruction, Listing, MemoryOperand, Mode, Operand } from './disassembly.js';

const all = (1n << 64n) - 1n;

export interface Value {
  /** Bits known to be 0, and known to be 1. */
  readonly zeros: bigint;
  readonly ones: bigint;
  /** Name of what it came from; undefined: mixed or unknown. */
  readonly from?: string | undefined;
  /** Distance to it, bytes; undefined: some. */
  readonly offset?: number | undefined;
  /** Bits that may differ from the origin's. */
  readonly changed: bigint;
}

export const unknown: Value = { zeros: 0n, ones: 0n, changed: all };
export const constant = (value: bigint): Value => ({ zeros: all & ~value, ones: value, changed: all });
export const origin = (from: string, zeros = 0n, ones = 0n): Value => ({
  zeros,
  ones,
  from,
  offset: 0,
  changed: 0n,
});

/** Whether a value is what it came from, unchanged. */
export function isExactly(value: Value | undefined, from: string): boolean {
  return value?.from === from && value.offset === 0 && value.changed === 0n;
}

export function known(value: Value | undefined): bigint | undefined {
  return value !== undefined && (value.zeros | value.ones) === all ? value.ones : undefined;
}

export function clears(value: Value, ...bits: number[]): boolean {
  return bits.every((bit) => (value.zeros >> BigInt(bit)) & 1n);
}

export interface State {
  readonly registers: Map<string, Value>;
  /** Eight-byte slots, by origin and offset. Shared between states: a store makes a new one, as few instructions store. */
  memory: ReadonlyMap<string, Value>;
  /** cr0, cr3, cr4, and what rules put there to know that a path has come by a place. */
  readonly control: Map<string, Value>;
  mode: Mode;
  interrupts: 'entry' | 'off' | 'any';
  directionClear: boolean;
  /** EFER written as zero in the bits LME, LMA and NXE. */
  longModeOff: boolean;
  /** What the last bt or test of one bit looked at. */
  flag: { readonly value: Value; readonly bit: bigint; readonly zeroFlag: boolean } | undefined;
}

export interface Step {
  readonly instruction: Instruction;
  readonly state: State;
  readonly value: (operand: Operand | undefined) => Value;
  readonly say: (rule: string) => void;
}

export interface Analysis {
  readonly complaints: string[];
  /** Addresses of instructions that some path reaches. */
  readonly reached: ReadonlySet<number>;
}

const widths: Record<string, number> = {};
const full: Record<string, string> = {};
for (const letter of ['a', 'b', 'c', 'd']) {
  for (const [name, width] of [
    [`r${letter}x`, 64],
    [`e${letter}x`, 32],
    [`${letter}x`, 16],
    [`${letter}l`, 8],
    [`${letter}h`, 8],
  ] as const)
    [full[name], widths[name]] = [`r${letter}x`, width];
}
for (const name of ['si', 'di', 'bp', 'sp'])
  for (const [form, width] of [
    [`r${name}`, 64],
    [`e${name}`, 32],
    [name, 16],
    [`${name}l`, 8],
  ] as const)
    [full[form], widths[form]] = [`r${name}`, width];
for (let n = 8; n < 16; n++)
  for (const [suffix, width] of [
    ['', 64],
    ['d', 32],
    ['w', 16],
    ['b', 8],
  ] as const)
    [full[`r${n}${suffix}`], widths[`r${n}${suffix}`]] = [`r${n}`, width];

/** Vector registers: of one that is moved whole the origin is known. */
export const vectorRegisters = Array.from({ length: 16 }, (_, n) => `xmm${n}`);
for (const name of vectorRegisters) [full[name], widths[name]] = [name, 64];

/** The registers in which CPUID says what there is, by leaf: names of origins, and of what a path has learned about them. */
const cpuidLeaves: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  1: { rcx: 'cpuid1.ecx' },
  7: { rbx: 'cpuid7.ebx' },
};

/** Registers that a function may change: System V ABI, AMD64. */
const callerSaved = ['rax', 'rcx', 'rdx', 'rsi', 'rdi', 'r8', 'r9', 'r10', 'r11'];
const readsOnly =
  /^(cmp|test|bt$|bt[lq]$|j|push|out|l[gi]dt|nop|endbr|hlt|cl[id]|st[id]$|wrmsr|ret|lret|pause)/;
const implicit: [RegExp, string[]][] = [
  [/^(mul|imul|div|idiv|rdtsc|rdmsr|cqto|cltd|cqo)/, ['rax', 'rdx']],
  [/^cpuid/, ['rax', 'rbx', 'rcx', 'rdx']],
  [/^(movs|cmps)[bwlq]?$/, ['rsi', 'rdi', 'rcx']],
  [/^(stos|scas)[bwlq]?$/, ['rdi', 'rcx']],
  [/^(lods)[bwlq]?$/, ['rsi', 'rcx', 'rax']],
];

/**
 * Follows every path from one entry. rules() is called before each instruction, with the state there; so is leave(),
 * for what goes on elsewhere: branches through registers, branches to other files, a return from the entry.
 */
export function interpret(
  listing: Listing,
  entry: number,
  initial: State,
  hooks: {
    readonly rules: (step: Step) => void;
    /** Gives the address where to go on, as after a call; undefined: that is the end of this path. */
    readonly leave: (step: Step) => number | undefined;
    /** What a load from memory of known place gives that was not stored here. */
    readonly load: (from: string, offset: number) => Value;
    /** Entries of functions that are not followed: C that computes and calls nothing, taken to keep the ABI. */
    readonly computes?: ReadonlySet<number>;
  },
): Analysis {
  const complaints = new Set<string>();
  const reached = new Set<number>();
  const states = new Map<string, State>();
  const work: WorkItem[] = [];
  const pending = new Set<string>();
  const key = (address: number, calls: readonly number[], mode: Mode): string =>
    `${mode}:${address}:${calls.join()}`;
  const go = (address: number, calls: readonly number[], state: State): void => {
    const at = key(address, calls, state.mode);
    const before = states.get(at);
    const joined = before === undefined ? copy(state) : join(before, state);
    if (before !== undefined && same(before, joined)) return;
    states.set(at, joined);
    if (pending.has(at)) return;
    pending.add(at);
    work.push({ address, calls, mode: state.mode });
  };
  go(entry, [], initial);
  for (let item = takeNext(work); item !== undefined; item = takeNext(work)) {
    const { address, calls, mode } = item;
    const at = key(address, calls, mode);
    pending.delete(at);
    const instruction = listing.code[mode].get(address);
    const state = copy(states.get(at) ?? initial);
    if (instruction === undefined) {
      complaints.add(`a path leads to 0x${address.toString(16)}, where no ${mode}-bit code is`);
      continue;
    }
    reached.add(address);
    const value = (operand: Operand | undefined): Value => valueOf(operand, instruction, state, hooks.load);
    const step: Step = {
      instruction,
      state,
      value,
      say: (rule) => complaints.add(`0x${address.toString(16)} ${instruction.text}: ${rule}`),
    };
    hooks.rules(step);
    const { target } = instruction;
    const computes = hooks.computes?.has(address) === true;
    const mnemonic = computes ? 'ret' : instruction.mnemonic;
    if (computes) forgetCallerSaved(state);
    if (mnemonic.startsWith('call') || mnemonic.startsWith('jmp')) {
      const isCall = mnemonic.startsWith('call');
      const inside = target ?? listing.labels.get(instruction.symbol?.name ?? '');
      if (inside === undefined) {
        const on = hooks.leave(step);
        if (on !== undefined) go(on, calls, state);
        continue;
      }
      if (isCall) push(state, constant(BigInt(instruction.next)));
      go(inside, isCall ? [...calls, instruction.next] : calls, state);
    } else if (mnemonic === 'lret' || mnemonic === 'lretq' || mnemonic === 'lretl') {
      const to = known(pop(state));
      const selector = known(pop(state));
      if (selector === 0x10n) state.mode = 32;
      if (to !== undefined) go(Number(to), selector === 0x10n ? [] : calls.slice(0, -1), state);
      else step.say('the checker does not know where this far return leads');
    } else if (/^(int3|iret)/.test(mnemonic)) {
      // A handler's business, or what was interrupted.
    } else if (/^ret/.test(mnemonic)) {
      if (calls.length === 0) hooks.leave(step);
      else if (known(pop(state)) !== BigInt(calls.at(-1) ?? 0)) step.say('does not return to its caller');
      else go(calls.at(-1) ?? 0, calls.slice(0, -1), state);
    } else if (target !== undefined) {
      // A conditional branch tells about the bit that was looked at.
      const taken = copy(state);
      learn(taken, bitWhenTaken(mnemonic, state.flag));
      learn(state, other(bitWhenTaken(mnemonic, state.flag)));
      taken.flag = undefined;
      state.flag = undefined;
      go(target, calls, taken);
      go(instruction.next, calls, state);
    } else {
      execute(instruction, state, value);
      go(instruction.next, calls, state);
    }
  }
  return { complaints: [...complaints].sort(), reached };
}

interface WorkItem {
  readonly address: number;
  /** Return addresses, of the outermost call first. */
  readonly calls: readonly number[];
  readonly mode: Mode;
}

/**
 * The deepest call first, and in it the lowest address: so all paths to an instruction have mostly been walked when it is its turn, and what
 * follows is walked once. The result is the same in any order.
 */
function takeNext(work: WorkItem[]): WorkItem | undefined {
  let best = 0;
  for (const [index, { calls, address }] of work.entries()) {
    const other = work[best];
    if (other === undefined) continue;
    const deeper = calls.length - other.calls.length;
    if (deeper > 0 || (deeper === 0 && address < other.address)) best = index;
  }
  return work.splice(best, 1)[0];
}

/** What the bit that was looked at is where a conditional branch leads. */
function bitWhenTaken(mnemonic: string, flag: State['flag']): 0 | 1 | undefined {
  if (flag === undefined) return undefined;
  if ((flag.zeroFlag ? /^(je|jz)$/ : /^(jae|jnc|jnb)$/).test(mnemonic)) return 0;
  return (flag.zeroFlag ? /^(jne|jnz)$/ : /^(jb|jc|jnae)$/).test(mnemonic) ? 1 : undefined;
}

const other = (bit: 0 | 1 | undefined): 0 | 1 | undefined =>
  bit === undefined ? undefined : bit === 0 ? 1 : 0;

/** After the branch that says what a bit is. */
function learn(state: State, is: 0 | 1 | undefined): void {
  const { flag } = state;
  if (flag === undefined || is === undefined) return;
  const { from, offset } = flag.value;
  if (from === undefined || offset !== 0 || flag.value.changed & flag.bit) return;
  const memory = new Map(state.memory);
  state.memory = memory;
  for (const map of [state.registers, state.control, memory])
    for (const [name, value] of map) {
      if (value.from !== from || value.offset !== 0) continue;
      const { changed, zeros, ones } = value;
      if (changed & flag.bit) {
        if ((is === 0 ? zeros : ones) & flag.bit) map.set(name, { ...value, changed: changed & ~flag.bit });
      } else if (is === 0) map.set(name, { ...value, zeros: zeros | flag.bit });
      else map.set(name, { ...value, ones: ones | flag.bit });
    }
}

/** The place that a memory operand names, when it is a known distance from a known origin. */
export function placeOf(operand: MemoryOperand, state: State): { from: string; offset: number } | undefined {
  if (operand.index !== undefined || operand.base === undefined) return undefined;
  const base = state.registers.get(full[operand.base] ?? operand.base);
  if (base?.from === undefined || base.offset === undefined || base.changed !== 0n) return undefined;
  return { from: base.from, offset: base.offset + operand.displacement };
}

export function register(state: State, name: string | undefined): Value {
  return state.registers.get(full[name ?? ''] ?? '') ?? unknown;
}

function valueOf(
  operand: Operand | undefined,
  instruction: Instruction,
  state: State,
  load: (from: string, offset: number) => Value,
): Value {
  if (operand?.kind === 'immediate') return constant(operand.value);
  if (operand?.kind === 'register') {
    if (/^cr\d$/.test(operand.name)) return state.control.get(operand.name) ?? unknown;
    const value = register(state, operand.name);
    return (widths[operand.name] ?? 64) === 64 ? value : narrowed(value, widths[operand.name] ?? 64);
  }
  if (operand?.kind !== 'memory') return unknown;
  if (operand.base === 'rip') {
    const { symbol } = instruction;
    return symbol === undefined ? unknown : load(symbol.name, symbol.offset);
  }
  const place = placeOf(operand, state);
  if (place === undefined) return unknown;
  return state.memory.get(slot(place)) ?? load(place.from, place.offset);
}

function narrowed(value: Value, width: number): Value {
  if (width < 32) return unknown;
  const low = 0xffffffffn;
  return {
    ...value,
    zeros: value.zeros | (all & ~low),
    ones: value.ones & low,
    changed: value.changed | (all & ~low),
  };
}

const slot = ({ from, offset }: { from: string; offset: number }): string => `${from}+${offset}`;

function stackPlace(state: State): { from: string; offset: number } | undefined {
  const rsp = register(state, 'rsp');
  return rsp.from === undefined || rsp.offset === undefined || rsp.changed !== 0n
    ? undefined
    : { from: rsp.from, offset: rsp.offset };
}

function push(state: State, value: Value): void {
  move(state, -8);
  const place = stackPlace(state);
  if (place !== undefined) state.memory = new Map(state.memory).set(slot(place), value);
}

function pop(state: State): Value {
  const place = stackPlace(state);
  const value = place === undefined ? unknown : (state.memory.get(slot(place)) ?? unknown);
  move(state, 8);
  return value;
}

function move(state: State, bytes: number): void {
  const rsp = register(state, 'rsp');
  state.registers.set('rsp', added(rsp, bytes));
}

function added(value: Value, bytes: number): Value {
  if (value.offset === undefined || value.changed !== 0n) return { ...unknown, from: value.from };
  return { ...unknown, from: value.from, offset: value.offset + bytes, changed: 0n };
}

function execute(
  instruction: Instruction,
  state: State,
  value: (operand: Operand | undefined) => Value,
): void {
  const { mnemonic, operands } = instruction;
  const [first, second] = operands;
  const last = operands.at(-1);
  const suffixless = mnemonic.replace(/[lq]$/, '');
  if (/^bt/.test(mnemonic) || suffixless === 'test') {
    const mask =
      first?.kind === 'immediate' ? (/^bt/.test(mnemonic) ? 1n << (first.value & 63n) : first.value) : 0n;
    const single = mask !== 0n && (mask & (mask - 1n)) === 0n;
    state.flag = single ? { value: value(second), bit: mask, zeroFlag: suffixless === 'test' } : undefined;
  } else if (!/^(mov|lea|push|pop$|cli|cld|not)/.test(mnemonic)) state.flag = undefined;
  if (/^pushf/.test(mnemonic)) return push(state, state.interrupts === 'entry' ? origin('flags') : unknown);
  if (/^push/.test(mnemonic)) return push(state, value(first));
  if (/^popf/.test(mnemonic)) {
    state.interrupts = isExactly(pop(state), 'flags') ? 'entry' : 'any';
    return;
  }
  if (/^pop/.test(mnemonic)) return write(first, pop(state), state);
  if (mnemonic === 'cli') state.interrupts = 'off';
  if (mnemonic === 'sti') state.interrupts = 'any';
  if (mnemonic === 'cld') state.directionClear = true;
  if (mnemonic === 'std') state.directionClear = false;
  if (mnemonic === 'wrmsr') {
    const low = register(state, 'rax');
    if (known(narrowed(register(state, 'rcx'), 32)) === 0xc0000080n)
      state.longModeOff = clears(low, 8, 10, 11);
  }
  const told = mnemonic === 'cpuid' ? cpuidLeaves[String(known(register(state, 'eax')))] : undefined;
  for (const [pattern, names] of implicit)
    if (pattern.test(mnemonic) && !(mnemonic.startsWith('imul') && operands.length > 1))
      for (const name of names) state.registers.set(name, unknown);
  for (const [name, from] of Object.entries(told ?? {})) {
    state.registers.set(name, origin(from));
    state.control.set(from, origin(from)); // kept when the register is not
  }
  if (/^rep (movs|stos)/.test(instruction.text)) state.registers.set('rcx', constant(0n));
  if (readsOnly.test(mnemonic) || operands.every((each) => each.kind === 'memory')) return;
  write(last, result(mnemonic, first, second, instruction, state, value), state);
  if (/^(xchg|xadd)/.test(mnemonic)) write(first, unknown, state);
}

function result(
  mnemonic: string,
  first: Operand | undefined,
  second: Operand | undefined,
  instruction: Instruction,
  state: State,
  value: (operand: Operand | undefined) => Value,
): Value {
  const name = mnemonic.replace(/[lq]$/, '');
  if (/^(mov|movabs|movups)$/.test(name)) return value(first);
  if (name === 'lea' && first?.kind === 'memory') {
    if (first.base === 'rip') {
      const { pointsAt, symbol } = instruction;
      if (pointsAt !== undefined) return constant(BigInt(pointsAt));
      return symbol === undefined ? unknown : added(origin(symbol.name), symbol.offset);
    }
    const base = register(state, first.base);
    return first.index === undefined ? added(base, first.displacement) : { ...unknown, from: base.from };
  }
  const old = value(second);
  const by = value(first);
  const constantBy = known(by);
  if (
    name === 'xor' &&
    first?.kind === 'register' &&
    second?.kind === 'register' &&
    first.name === second.name
  )
    return constant(0n);
  if (name === 'and') {
    const mask = constantBy ?? known(old);
    const other = constantBy === undefined ? by : old;
    return {
      ...other,
      zeros: old.zeros | by.zeros,
      ones: old.ones & by.ones,
      changed: mask === undefined ? all : other.changed | (all & ~mask),
    };
  }
  if (name === 'or' && constantBy !== undefined)
    return {
      ...old,
      zeros: old.zeros & ~constantBy,
      ones: old.ones | constantBy,
      changed: old.changed | constantBy,
    };
  if ((name === 'btr' || name === 'bts') && first?.kind === 'immediate') {
    const bit = 1n << (first.value & 63n);
    const set = name === 'bts';
    return {
      ...old,
      zeros: set ? old.zeros & ~bit : old.zeros | bit,
      ones: set ? old.ones | bit : old.ones & ~bit,
      changed: old.changed | bit,
    };
  }
  if ((name === 'add' || name === 'sub') && constantBy !== undefined)
    return added(old, Number(BigInt.asIntN(64, constantBy)) * (name === 'sub' ? -1 : 1));
  return unknown;
}

function write(operand: Operand | undefined, value: Value, state: State): void {
  if (operand?.kind === 'register') {
    if (/^cr\d$/.test(operand.name)) state.control.set(operand.name, value);
    const name = full[operand.name];
    if (name !== undefined)
      state.registers.set(
        name,
        widths[operand.name] === 64 ? value : narrowed(value, widths[operand.name] ?? 8),
      );
  } else if (operand?.kind === 'memory') {
    const place = placeOf(operand, state);
    if (place !== undefined) state.memory = new Map(state.memory).set(slot(place), value);
  }
}

/** What a function of the C ABI leaves. */
export function afterCall(state: State): void {
  forgetCallerSaved(state);
  state.interrupts = 'any';
  state.directionClear = true;
}

function forgetCallerSaved(state: State): void {
  for (const name of callerSaved) state.registers.set(name, unknown);
  state.flag = undefined;
}

export function newState(parts: Partial<State>): State {
  return {
    registers: new Map(),
    memory: new Map(),
    control: new Map(),
    mode: 64,
    interrupts: 'entry',
    directionClear: false,
    longModeOff: false,
    flag: undefined,
    ...parts,
  };
}

function copy(state: State): State {
  return {
    ...state,
    registers: new Map(state.registers),
    control: new Map(state.control),
  };
}

/** `a` itself when `b` adds nothing to it. */
function joinValue(a: Value, b: Value): Value {
  if (sameValue(a, b)) return a;
  const from = a.from === b.from ? a.from : undefined;
  const joined = {
    zeros: a.zeros & b.zeros,
    ones: a.ones & b.ones,
    from,
    offset: from !== undefined && a.offset === b.offset ? a.offset : undefined,
    changed: from === undefined ? all : a.changed | b.changed,
  };
  return sameValue(a, joined) ? a : joined;
}

/** `a` itself when `b` adds nothing to it, as at most joins: no new map then. */
function joinMaps(a: Map<string, Value>, b: ReadonlyMap<string, Value>): Map<string, Value>;
function joinMaps(a: ReadonlyMap<string, Value>, b: ReadonlyMap<string, Value>): ReadonlyMap<string, Value>;
function joinMaps(a: ReadonlyMap<string, Value>, b: ReadonlyMap<string, Value>): ReadonlyMap<string, Value> {
  let joined: Map<string, Value> | undefined;
  if (a === b) return a;
  for (const [name, value] of a) {
    const other = b.get(name);
    const both = other === undefined ? undefined : joinValue(value, other);
    if (both === value) continue;
    joined ??= new Map(a);
    if (both === undefined) joined.delete(name);
    else joined.set(name, both);
  }
  return joined ?? a;
}

function joinFlag(a: State['flag'], b: State['flag']): State['flag'] {
  if (a === undefined || a.bit !== b?.bit || a.zeroFlag !== b.zeroFlag) return undefined;
  return { ...a, value: joinValue(a.value, b.value) };
}

function join(a: State, b: State): State {
  return {
    registers: joinMaps(a.registers, b.registers),
    memory: joinMaps(a.memory, b.memory),
    control: joinMaps(a.control, b.control),
    mode: a.mode,
    interrupts: a.interrupts === b.interrupts ? a.interrupts : 'any',
    directionClear: a.directionClear && b.directionClear,
    longModeOff: a.longModeOff && b.longModeOff,
    flag: joinFlag(a.flag, b.flag),
  };
}

function sameValue(a: Value, b: Value | undefined): boolean {
  if (a === b) return true;
  return (
    b !== undefined &&
    a.zeros === b.zeros &&
    a.ones === b.ones &&
    a.from === b.from &&
    a.offset === b.offset &&
    a.changed === b.changed
  );
}

function sameMap(a: ReadonlyMap<string, Value>, b: ReadonlyMap<string, Value>): boolean {
  if (a === b) return true;
  if (a.size !== b.size) return false;
  for (const [name, value] of a) if (!sameValue(value, b.get(name))) return false;
  return true;
}

function same(a: State, b: State): boolean {
  return (
    a.interrupts === b.interrupts &&
    a.directionClear === b.directionClear &&
    a.longModeOff === b.longModeOff &&
    a.flag?.bit === b.flag?.bit &&
    a.flag?.zeroFlag === b.flag?.zeroFlag &&
    (a.flag === undefined || sameValue(a.flag.value, b.flag?.value)) &&
    sameMap(a.registers, b.registers) &&
    sameMap(a.memory, b.memory) &&
    sameMap(a.control, b.control)
  );
}
