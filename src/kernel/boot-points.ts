/**
 * Points of a kernel's boot in their order, from its code and symbols: every function that start_kernel and setup_arch call, and
 * every initcall.
 */
import { ByteView } from '../bytes/byte-reader.js';
import { offsetInImage } from './flat-image.js';
import type { Kernel } from './load-kernel.js';

export interface BootPoint {
  /** A kernel function whose name is unique. */
  readonly name: string;
  readonly phase: string;
}

/** Symbols between which initcalls of one level lie: include/asm-generic/vmlinux.lds.h, INIT_CALLS. */
const levels = [
  ['early', '__initcall_start', '__initcall0_start'],
  ['pure', '__initcall0_start', '__initcall1_start'],
  ['core', '__initcall1_start', '__initcall2_start'],
  ['postcore', '__initcall2_start', '__initcall3_start'],
  ['arch', '__initcall3_start', '__initcall4_start'],
  ['subsys', '__initcall4_start', '__initcall5_start'],
  ['fs', '__initcall5_start', '__initcall6_start'],
  ['device', '__initcall6_start', '__initcall7_start'],
  ['late', '__initcall7_start', '__initcall_end'],
] as const;

/** Throws `missing-fact` for a kernel without these symbols. */
export function bootPoints(kernel: Kernel): BootPoint[] {
  const points = [
    { name: 'start_kernel', phase: 'start_kernel' },
    ...callees(kernel, 'start_kernel').map((name) => ({ name, phase: 'start_kernel' })),
    ...callees(kernel, 'setup_arch').map((name) => ({ name, phase: 'setup_arch' })),
    ...levels.flatMap(([phase, first, end]) =>
      initcalls(kernel, first, end).map((name) => ({ name, phase: `initcall ${phase}` })),
    ),
  ];
  // A breakpoint needs an address of its own, and a name that more than one function has would be ambiguous.
  const seen = new Set<string>();
  return points.filter(({ name }) => {
    const known = seen.has(name) || kernel.kallsyms.addresses(name).length !== 1;
    seen.add(name);
    return !known;
  });
}

/**
 * Functions that `caller` calls directly. Found by every byte 0xE8 whose displacement leads to the first byte of a
 * function: a heuristic (no disassembler), which objdump confirms in the test; a chance hit would only add a point.
 */
export function callees(kernel: Kernel, caller: string): string[] {
  const { kallsyms, image } = kernel;
  const start = kallsyms.requireAddress(caller);
  const end = kallsyms.nextAddress(start) ?? start;
  const offset = offsetInImage(image, start, Number(end - start), caller);
  const view = new ByteView(image.bytes.subarray(offset, offset + Number(end - start)), caller);
  const found: string[] = [];
  for (let at = 0; at + 5 <= view.length; at++) {
    if (view.u8(at, 'opcode') !== 0xe8) continue;
    const target = start + BigInt(at + 5 + view.i32(at + 1, 'displacement'));
    const symbol = kallsyms.symbolsAt(target).find((each) => /^[TtWw]$/.test(each.type));
    if (symbol !== undefined && !found.includes(symbol.name)) found.push(symbol.name);
  }
  return found;
}

/** Functions of one stretch of the initcall table: 32-bit offsets relative to each entry (include/linux/init.h). */
function initcalls(kernel: Kernel, first: string, end: string): string[] {
  const { kallsyms, image } = kernel;
  const from = kallsyms.requireAddress(first);
  const to = kallsyms.requireAddress(end);
  const at = offsetInImage(image, from, Number(to - from), first);
  const view = new ByteView(image.bytes.subarray(at, at + Number(to - from)), 'initcall table');
  const names: string[] = [];
  for (let entry = 0; entry < view.length; entry += 4) {
    const target = from + BigInt(entry + view.i32(entry, 'initcall'));
    const symbol = kallsyms.symbolsAt(target).find((each) => /^[TtWw]$/.test(each.type));
    if (symbol !== undefined) names.push(symbol.name);
  }
  return names;
}
