/**
 * Room for the hook: a run of int3 (0xCC) that the linker left in .text between aligned parts.
 *
 * Nothing patches such a run later (alternatives, static calls, ftrace, return and ENDBR sites all name
 * instructions), and .text stays mapped executable for good, unlike .init.text. The small padding before functions
 * is no such gap: FineIBT and call-depth tracking write there.
 *
 * The text that page-table isolation shows to userspace (the 2 MiB pages of .entry.text) is left out, so that
 * nothing of the hook can be read there.
 */
import { alignUp } from '../bytes/align.js';
import { SaveoopsError } from '../errors.js';
import type { Kernel } from '../kernel/load-kernel.js';

const int3 = 0xcc;
const largePage = 0x200000n;
/** Distance kept from the function before the gap: its own padding, which a disassembler may count to it. */
const guard = 64;
const alignment = 64;

export interface Gap {
  /** Link-time virtual address, a multiple of 64. */
  readonly address: bigint;
  /** Bytes. */
  readonly size: number;
  /** Symbol that the gap follows, for the manifest. */
  readonly after: string;
}

/** All gaps of .text that hold `size` bytes, the largest first. Throws `unsupported` when there is none. */
export function findGaps(kernel: Kernel, size: number): readonly Gap[] {
  const { elf, kallsyms } = kernel;
  const section = elf.requireSection('.text');
  const text = elf.sectionBytes(section);
  const start = section.sh_addr;
  const shown = userVisibleText(kernel);
  const gaps: Gap[] = [];
  for (const run of runsOf(text, size + guard + alignment)) {
    const address = start + BigInt(alignUp(run.offset + guard, alignment));
    const end = start + BigInt(run.offset + run.size);
    if (address < shown.end && end > shown.start) continue;
    const before = kallsyms.symbolBefore(end - 1n);
    // A symbol inside the run means that the bytes are somebody's code or data after all.
    if (before === undefined || before.address > start + BigInt(run.offset)) continue;
    gaps.push({ address, size: Number(end - address), after: before.name });
  }
  if (gaps.length > 0) return gaps.sort((a, b) => b.size - a.size);
  throw new SaveoopsError('unsupported', 'the kernel has no room for the hook', {
    where: `${elf.source}, .text`,
    found: 'no gap of int3 bytes that is large enough',
    wanted: `a run of ${size + guard + alignment} bytes of 0xCC between functions`,
    hint: 'please report the kernel package: stock kernels have such gaps',
  });
}

function userVisibleText(kernel: Kernel): { start: bigint; end: bigint } {
  const first = kernel.kallsyms.address('__entry_text_start');
  const last = kernel.kallsyms.address('__entry_text_end');
  if (first === undefined || last === undefined) return { start: 0n, end: 0n };
  return { start: first - (first % largePage), end: last + largePage - (last % largePage) };
}

function* runsOf(text: Uint8Array, least: number): Generator<{ offset: number; size: number }> {
  // Runs this long are rare: probing every `least`-th byte finds them all without reading every byte.
  for (let probe = 0; probe < text.length; probe += least) {
    if (text[probe] !== int3) continue;
    let from = probe;
    while (from > 0 && text[from - 1] === int3) from--;
    let to = probe;
    while (to < text.length && text[to] === int3) to++;
    if (to - from >= least) yield { offset: from, size: to - from };
    probe = to;
  }
}
