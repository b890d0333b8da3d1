/** What the benches find: figures, each beside what it is measured against, and docs/results/performance.md with all of them. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { cache, repository } from '../harness/folders.js';

export interface Figure {
  readonly what: string;
  readonly own: number;
  /** Measured in the same run: what it is, and how much. */
  readonly anchor: string;
  readonly anchored: number;
  readonly unit: string;
  /** Largest `own / anchored` that is wanted. */
  readonly goal?: number;
}

/** By the name of a kernel and of a bench. */
type Figures = Record<string, Record<string, readonly Figure[]>>;

const stored = join(cache, 'bench', 'figures.json');
const page = join(repository, 'docs/results/performance.md');

export const ratioOf = ({ own, anchored }: Figure): number => own / anchored;

/** One line for the terminal. */
export function showFigure(figure: Figure): string {
  const { what, own, anchor, anchored, unit, goal } = figure;
  const wanted = goal === undefined ? '' : `, goal ${goal}`;
  return `  ${what}: ${shown(own)} ${unit}, ${anchor} ${shown(anchored)} ${unit}, ratio ${ratioOf(figure).toFixed(3)}${wanted}`;
}

/** Keeps what a bench has found of a kernel, and writes docs/results/performance.md anew from all that is kept. */
export function keepFigures(kernel: string, bench: string, figures: readonly Figure[]): void {
  const all = existsSync(stored) ? (JSON.parse(readFileSync(stored, 'utf8')) as Figures) : {};
  all[kernel] = { ...all[kernel], [bench]: figures };
  mkdirSync(dirname(stored), { recursive: true });
  writeFileSync(stored, JSON.stringify(all, null, 1));
  writeFileSync(page, renderPage(all));
}

function renderPage(all: Figures): string {
  const sections = Object.entries(all).map(([kernel, benches]) => {
    const rows = Object.values(benches)
      .flat()
      .map((figure) => {
        const { what, own, anchor, anchored, unit, goal } = figure;
        const ratio = ratioOf(figure);
        const kept = goal === undefined ? '' : ratio <= goal ? `${goal}` : `${goal}, missed`;
        return `| ${what} | ${shown(own)} ${unit} | ${anchor} ${shown(anchored)} ${unit} | ${ratio.toFixed(3)} | ${kept} |`;
      });
    return [
      '',
      `## ${kernel}`,
      '',
      '| what | Saveoops | against | ratio | goal |',
      '|---|---|---|---|---|',
      ...rows,
      '',
    ].join('\n');
  });
  return `${head}${sections.join('')}`;
}

function shown(value: number): string {
  return value.toFixed(value < 100 ? 2 : 1);
}

const head = `# Performance

Written by \`npm run bench\` (\`qemu-tests/bench\`), which asserts nothing. A ratio is Saveoops' figure by one that was measured in the same run.
Instructions are those that QEMU's TCG executes in the guest (M: million), counted one by one. They vary with the load of the machine only where
the BIOS waits for the disk, in Syslinux's loading: plain 36 to 47 M of the same 31 MB. Seconds vary more.
Why a goal is missed stands in [design.md](../design.md#where-the-instructions-go).
The look for a system that was reset (\`--after-reset\`), which every boot has to wait for: 15,270 instructions on a cold boot with 512 MiB of RAM, 43,250
with 8 GiB (2 GiB of them below 4 GiB), counted with Debian's 6.1 amd64 by \`npm run bench -- look\`; Syslinux executes 24 million before it. That is less than 0.1 ms; 50 ms were allowed.
`;
