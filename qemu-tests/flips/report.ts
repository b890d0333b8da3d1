/** docs/results/bit-flips.md: what damage in the crash region comes to. Pure. */
import type { Band, Catcher, Damage } from './damage.js';

export interface DamageResult {
  readonly damage: Damage;
  /** Undefined: neither caught nor harmless. */
  readonly outcome: Catcher | undefined;
}

export function renderFlips(bands: readonly Band[], results: readonly DamageResult[], seed: number): string {
  const count = (wanted: (result: DamageResult) => boolean): number => results.filter(wanted).length;
  const kinds = ['bit', '64 bytes', '4096 bytes'] as const;
  const row = (name: string, of: (result: DamageResult) => boolean): string => {
    const all = results.filter(of);
    const by = (...outcomes: readonly (Catcher | undefined)[]): number =>
      all.filter(({ outcome }) => outcomes.includes(outcome)).length;
    const sha = (['boot_params', 'crash kernel', 'crash initrd', 'notes'] as const)
      .map((name) => [name, by(name)] as const)
      .filter(([, number]) => number > 0)
      .map(([name, number]) => `${number} ${name}`);
    const cells = [name, all.length, by('hook'), sha.join(', ') || '0', by('harmless'), by(undefined)];
    return `| ${cells.join(' | ')} |`;
  };
  const head = (what: string): string[] => [
    `| ${what} | times | hook (E32) | SHA-256 (E30): part | not caught, same log | neither |`,
    '|---|---|---|---|---|---|',
  ];
  return [
    '# Damage in the crash region while the primary runs',
    '',
    'Written by `npm run test:flips`. A machine with 2 CPUs boots armed to userspace and is kept where it enters sysrq_handle_crash().',
    'From there each run flips one bit of the crash region, or overwrites bytes with random ones as a stray write would, and lets the',
    'kernel panic. *Caught*: the message, no capture, and the machine does what `panic=1` says. *Same log*: the recovered log is that of a',
    'run without damage, but for time stamps and what a trace calls uncertain. Half of the flips are anywhere in the region, half are spread over its parts.',
    '',
    `${results.length} runs, seed ${seed}; ${count(({ outcome }) => outcome === undefined)} neither caught nor harmless.`,
    '',
    ...head('damage'),
    ...kinds.map((kind) =>
      row(kind === 'bit' ? 'one bit flipped' : `${kind} overwritten`, ({ damage }) => damage.kind === kind),
    ),
    '',
    ...head('it begins in'),
    ...bands
      .map((band) => row(band.name, ({ damage }) => damage.band.name === band.name))
      .filter((line) => !/^\| [^|]* \| 0 \|/.test(line)),
    '',
  ].join('\n');
}
