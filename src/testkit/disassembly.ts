/** objdump's disassembly of a stub, parsed: instructions, operands, branch targets. AT&T syntax, as objdump prints it. */
import { oracle } from './command-line.js';

export type Mode = 64 | 32;

/** disp(base,index,scale), or a symbol or address when RIP-relative. */
export interface MemoryOperand {
  readonly kind: 'memory';
  readonly displacement: number;
  readonly base: string | undefined;
  readonly index: string | undefined;
}
export type Operand =
  | MemoryOperand
  | { readonly kind: 'immediate'; readonly value: bigint }
  | { readonly kind: 'register'; readonly name: string }
  | { readonly kind: 'other'; readonly text: string };

export interface Instruction {
  readonly address: number;
  /** Address behind it. */
  readonly next: number;
  readonly text: string;
  /** Without prefixes (lock, rep, bnd, notrack). */
  readonly mnemonic: string;
  readonly operands: readonly Operand[];
  /** Of a direct branch: where it goes inside this file. */
  readonly target: number | undefined;
  /** Where a RIP-relative operand points inside this file. */
  readonly pointsAt: number | undefined;
  /** The symbol, here or elsewhere, that the linker puts in. */
  readonly symbol: { readonly name: string; readonly offset: number } | undefined;
  /** The branch goes through a register or memory. */
  readonly indirect: boolean;
}

export interface Listing {
  readonly code: Readonly<Record<Mode, ReadonlyMap<number, Instruction>>>;
  /** Global and local labels of .text. */
  readonly labels: ReadonlyMap<string, number>;
  readonly globals: ReadonlySet<string>;
}

/** Disassembles an ELF file's .text as 64-bit code and, behind each far return, as 32-bit code as well. */
export function disassembleStub(file: string): Listing {
  const dump = (...more: string[]): string =>
    oracle('objdump', ['-dwr', '-z', '--no-show-raw-insn', '-j', '.text', ...more, file]);
  const wide = parseListing(dump());
  const narrow = new Map<number, Instruction>();
  for (const { mnemonic, next } of wide.values()) {
    if (!mnemonic.startsWith('lret')) continue;
    const text = dump('-m', 'i386', `--start-address=${next}`);
    for (const [address, instruction] of parseListing(text))
      if (!narrow.has(address)) narrow.set(address, instruction);
  }
  const labels = new Map<string, number>();
  const globals = new Set<string>();
  for (const [, value = '', type = '', name = ''] of oracle('nm', [file]).matchAll(
    /^([0-9a-f]+) ([Tt]) (\S+)$/gm,
  )) {
    labels.set(name, parseInt(value, 16));
    if (type === 'T') globals.add(name);
  }
  return { code: { 64: wide, 32: narrow }, labels, globals };
}

/** Parses the output of `objdump -dwr --no-show-raw-insn`. */
export function parseListing(text: string): Map<number, Instruction> {
  const lines = [...text.matchAll(/^ *([0-9a-f]+):\t(.*)$/gm)].map(([, at = '', rest = '']) => ({
    address: parseInt(at, 16),
    rest,
  }));
  return new Map(
    lines.map(({ address, rest }, i) => [
      address,
      parseInstruction(address, lines[i + 1]?.address ?? address + 1, rest),
    ]),
  );
}

function parseInstruction(address: number, next: number, rest: string): Instruction {
  const [code = '', relocation] = rest.split(/\t[0-9a-f]+: R_X86_64_\w+\t/);
  const [body = '', comment = ''] = code.split('#');
  const text = body.trim().replace(/\s+/g, ' ');
  const [, , mnemonic = '', operandText = ''] =
    /^((?:lock|rep|repz|repnz|bnd|notrack|cs|ds|data16) )*(\S+) ?(.*)$/.exec(text) ?? [];
  const indirect = operandText.startsWith('*');
  const direct = /^(?:0x)?([0-9a-f]+)(?: <.*>)?$/.exec(operandText)?.[1];
  const isBranch = /^(j|call|loop)/.test(mnemonic);
  const [, name, sign, addend] = /^(\S+?)(?:([+-])0x([0-9a-f]+))?$/.exec(relocation?.trim() ?? '') ?? [];
  const symbol =
    name === undefined
      ? undefined
      : { name, offset: (sign === '-' ? -1 : 1) * parseInt(addend ?? '0', 16) + 4 };
  const pointed = /^\s*(?:0x)?([0-9a-f]+)/.exec(comment)?.[1];
  return {
    address,
    next,
    text,
    mnemonic,
    indirect,
    operands: splitOperands(indirect ? operandText.slice(1) : operandText).map(parseOperand),
    target: isBranch && !indirect && symbol === undefined && direct ? parseInt(direct, 16) : undefined,
    pointsAt: pointed === undefined || symbol !== undefined ? undefined : parseInt(pointed, 16),
    symbol,
  };
}

/** At commas outside parentheses. */
function splitOperands(text: string): string[] {
  return text === '' ? [] : text.split(/,(?![^(]*\))/).map((each) => each.trim());
}

function parseOperand(text: string): Operand {
  const immediate = /^\$(0x[0-9a-f]+|\d+)$/.exec(text)?.[1];
  if (immediate !== undefined) return { kind: 'immediate', value: BigInt.asUintN(64, BigInt(immediate)) };
  if (/^%\w+$/.test(text)) return { kind: 'register', name: text.slice(1) };
  const [, minus, hex, , base, index] =
    /^(?:%\w+:)?(-)?(?:0x([0-9a-f]+))?(\((?:%(\w+))?(?:,%(\w+)(?:,\d)?)?\))$/.exec(text) ?? [];
  if (base === undefined && index === undefined) return { kind: 'other', text };
  const size = parseInt(hex ?? '0', 16);
  return { kind: 'memory', displacement: minus === undefined ? size : -size, base, index };
}
