/**
 * Room for the hook: a run of int3 (0xCC) that the linker left in .text between aligned parts.
 *
 * Nothing patches such a run later (alternatives, static calls, ftrace, return and ENDBR sites all name
 * instructions), and .text stays mapped executable for good, unlike .init.text. The small padding before functions
 * is no such gap: FineIBT and call-depth tracking write there.
 *
 * Page-table isolation keeps the 2 MiB pages of .entry.text mapped while userspace runs (arch/x86/mm/pti.c,
 * pti_clone_entry_text()), for the kernel only. A processor with the Meltdown flaw lets userspace read them, so gaps there
 * come last: what is in the hook is no secret (src/arm/link-hook.ts, physical addresses of the crash region), and some
 * kernels have no other gap.
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

/**
 * All gaps of .text that hold `size` bytes: the largest first, those in the pages of .entry.text behind the others.
 * Throws `unsupported` when there is none.
 */
export function findGaps(kernel: Kernel, size: number): readonly Gap[] {
  const { elf, kallsyms } = kernel;
  const section = elf.requireSection('.text');
  const text = elf.sectionBytes(section);
  const shown = pagesOfEntryText(kernel, section.sh_addr);
  const hidden: Gap[] = [];
  const visible: Gap[] = [];
  for (const run of runsOf(text, size + guard + alignment)) {
    const take = (gaps: Gap[], from: number, to: number): void => {
      const start = alignUp(Math.max(from, run.start + guard), alignment);
      const end = Math.min(to, run.end);
      if (end - start < size) return;
      const before = kallsyms.symbolBefore(section.sh_addr + BigInt(end - 1));
      // A symbol inside the run means that the bytes are somebody's code or data after all.
      if (before === undefined || before.address > section.sh_addr + BigInt(run.start)) return;
      gaps.push({ address: section.sh_addr + BigInt(start), size: end - start, after: before.name });
    };
    take(hidden, run.start, shown.start);
    take(visible, shown.start, shown.end);
    take(hidden, shown.end, run.end);
  }
  const bySize = (a: Gap, b: Gap): number => b.size - a.size;
  const gaps = [...hidden.sort(bySize), ...visible.sort(bySize)];
  if (gaps.length > 0) return gaps;
  throw new SaveoopsError('unsupported', 'the kernel has no room for the hook', {
    where: `${elf.source}, .text`,
    found: 'no gap of int3 bytes that is large enough',
    wanted: `a run of ${size + guard + alignment} bytes of 0xCC between functions`,
    hint: 'please report the kernel package: stock kernels have such gaps',
  });
}

/** Offsets from `text`, the address of .text. Empty when the kernel does not say where .entry.text is. */
function pagesOfEntryText(kernel: Kernel, text: bigint): { start: number; end: number } {
  const first = kernel.kallsyms.address('__entry_text_start');
  const last = kernel.kallsyms.address('__entry_text_end');
  if (first === undefined || last === undefined) return { start: 0, end: 0 };
  return {
    start: Number(first - (first % largePage) - text),
    end: Number(last + largePage - (last % largePage) - text),
  };
}

function* runsOf(text: Uint8Array, least: number): Generator<{ start: number; end: number }> {
  // Runs this long are rare: probing every `least`-th byte finds them all without reading every byte.
  for (let probe = 0; probe < text.length; probe += least) {
    if (text[probe] !== int3) continue;
    let start = probe;
    while (start > 0 && text[start - 1] === int3) start--;
    let end = probe;
    while (end < text.length && text[end] === int3) end++;
    if (end - start >= least) yield { start, end };
    probe = end;
  }
}
