/** docs/results/machines.md: on which machines a panic was captured. Pure. */

/** How a run went: its first word is the outcome, what follows says why. */
export type RowOutcome = 'passed' | `failed: ${string}` | `lost: ${string}`;

export interface MachineRow {
  readonly group: string;
  readonly name: string;
  /** What else the row asks for, beside the captured panic. */
  readonly shown: string;
  /** Undefined: not run. */
  readonly outcome: RowOutcome | undefined;
}

const cell = (text: string): string => text.replaceAll('|', '\\|');

export function renderMachines(rows: readonly MachineRow[], kernel: string): string {
  const groups = [...new Set(rows.map(({ group }) => group))];
  const count = (word: string): number => rows.filter(({ outcome }) => outcome?.startsWith(word)).length;
  const unrun = rows.filter(({ outcome }) => outcome === undefined).length;
  return [
    '# Machines that Saveoops was run on',
    '',
    `Written by \`npm run test:machines\`: stock Debian kernels ${kernel}, in QEMU (TCG), KASLR on; what a row does not name is`,
    'q35, its default CPU, 1 CPU, 1 GiB, a disk on AHCI. In each row the machine boots armed and panics, from userspace (sysrq-c) where',
    'nothing else is said, and the log recovered from /proc/vmcore has that panic. *Shown* is what else must be true: that the machine is',
    'the one meant is asked of the guest, of the log, or of the screen.',
    '',
    `${rows.length} rows: ${count('passed')} passed, ${count('failed')} failed, ${count('lost')} lost (no verdict), ${unrun} not run.`,
    ...groups.flatMap((group) => [
      '',
      `## ${group}`,
      '',
      '| machine | shown | result |',
      '|---|---|---|',
      ...rows
        .filter((row) => row.group === group)
        .map(
          ({ name, shown, outcome }) => `| ${[name, shown, outcome ?? 'not run'].map(cell).join(' | ')} |`,
        ),
    ]),
    '',
  ].join('\n');
}
