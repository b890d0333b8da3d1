/** For which processor a kernel was built, by the registers and the banner in its log. */
import type { LogLine } from './log-lines.js';

/** Of the kernel's own lines, the beginning that only one architecture has. */
const signs: readonly (readonly [RegExp, string])[] = [
  [/^R(?:IP|SP): ?[0-9a-f]{4}:/i, 'x86-64'],
  [/^E(?:IP: |IP is at |AX: )/, 'i386'],
  [/^pstate: |^pc : .* lr : /, 'arm64'],
  [/^PC is at |^LR is at /, 'arm'],
  [/^NIP(?:: | \[)/, 'powerpc'],
  [/^epc : [^ ]{1,200} ra : /, 'riscv'],
  [/^Krnl PSW : /, 's390'],
  [/^epc {1,4}: [0-9a-f]{8}/, 'mips'],
];
const mostSigns = 1000;

/** undefined: nothing in the log tells. */
export function architectureOf(lines: readonly LogLine[]): string | undefined {
  const votes = new Map<string, number>();
  let count = 0;
  for (const { text, ofKernel } of lines) {
    if (!ofKernel || text.length < 5) continue;
    const line = text.trimStart().slice(0, 400);
    const found = signs.find(([sign]) => sign.test(line))?.[1];
    if (found === undefined) continue;
    votes.set(found, (votes.get(found) ?? 0) + 1);
    if (++count >= mostSigns) break;
  }
  return [...votes].sort(([, a], [, b]) => b - a)[0]?.[0];
}
