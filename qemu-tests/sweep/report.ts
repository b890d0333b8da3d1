/** docs/results/coverage.md: what share of the boot timeline was captured, one row a point. */
import type { BootPoint } from '../../src/kernel/boot-points.js';

export interface SweepResult extends BootPoint {
  /** The function was entered, and the kernel ended there. */
  readonly reached: boolean;
  /** The crash stub, or, after a reset, the COM32 module said so. */
  readonly stub: boolean;
  /** The capture initramfs began to print: crash kernel up, /proc/vmcore present. */
  readonly crashKernel: boolean;
  /** The run's own id is in the recovered log; after a reset the last line on the serial port. */
  readonly recovered: boolean;
  readonly lines: number;
  /** Serial lines of the dying kernel that the recovered log lacks. */
  readonly missing: number;
  readonly firstMissing: string | undefined;
  readonly reason: string;
  readonly seconds: number;
}

/** What is swept: panics by BIOS or UEFI, or resets, which BIOS and Syslinux capture. */
export type SweepWay = 'bios' | 'uefi' | 'reset';

export interface SweptTimeline {
  readonly way: SweepWay;
  readonly release: string;
  readonly commandLine: string;
  readonly points: readonly BootPoint[];
  /** Points that the whole timeline has. */
  readonly allPoints: number;
  readonly tables: readonly { readonly cpus: number; readonly results: readonly SweepResult[] }[];
}

const headings: Readonly<Record<SweepWay, string>> = {
  bios: '## BIOS',
  uefi: '## UEFI',
  reset: '## After a reset',
};

/** The document with the section of this way written anew; others stay. @param document '' for a new one */
export function renderCoverage(document: string, timeline: SweptTimeline): string {
  const sections = Object.entries(headings).map(([way, heading]) =>
    way === timeline.way ? renderTimeline(timeline) : sectionOf(document, heading),
  );
  return [
    '# Coverage of the boot timeline',
    '',
    'Written by `npm run sweep`: panic() called (or, in the last section, a reset) at the entry of every function that start_kernel and setup_arch call and of every',
    'initcall, and of functions that only a running system enters (phase userspace: a guest mounts, loads a module, uses the network,',
    'reboots), in QEMU (TCG).',
    'A point is *captured* when the recovered log, as the crash kernel printed it, holds the run’s own id. *Missing*',
    'counts the lines that the dying kernel put on the serial port and the recovered log lacks. A function that this',
    'machine never enters (*not reached*) is no point of its boot and not counted.',
    '',
    ...sections.filter((section) => section !== ''),
  ].join('\n');
}

const introduction: Readonly<Record<SweepWay, (timeline: SweptTimeline) => string>> = {
  bios: ({ release, commandLine, points }) =>
    `Linux ${release}, KASLR on, \`${commandLine}\`; ${points.length} points.`,
  uefi: ({ release, commandLine, points, allPoints }) =>
    `OVMF loads the composed image from QEMU (\`-kernel\`) and starts it as an EFI application. Linux ${release}, \`${commandLine}\`; ${points.length} of the ${allPoints} points, evenly spread.`,
  reset: ({ release, commandLine, points, allPoints }) =>
    [
      '`--after-reset`, a disk with Syslinux, SeaBIOS. No panic: at the entry of the function the kernel ends in one of three ways, in turn: a triple fault, a hang with interrupts off',
      'that the reset button ends, the button alone. *Captured*: the next boot has recovered the log up to the last line that was on the serial port.',
      `Linux ${release}, KASLR on, \`${commandLine}\`; ${points.length} of the ${allPoints} points, evenly spread.`,
    ].join('\n'),
};

/** From a heading to the next of its level. */
function sectionOf(document: string, heading: string): string {
  const [, section = ''] = `\n${document}`.split(`\n${heading}\n`);
  const [own = ''] = section.split(/^## /m);
  return own === '' ? '' : `${heading}\n${own.trimEnd()}\n`;
}

function renderTimeline(timeline: SweptTimeline): string {
  const { way, points, tables } = timeline;
  const order = new Map(points.map((point, index) => [point.name, index]));
  const out = [headings[way], '', introduction[way](timeline), ''];
  for (const { cpus, results } of tables) {
    const reached = results.filter((result) => result.reached);
    const captured = reached.filter((result) => result.recovered);
    const whole = captured.filter((result) => result.missing === 0);
    const share = reached.length === 0 ? 0 : (100 * captured.length) / reached.length;
    out.push(
      `### ${cpus} CPU${cpus === 1 ? '' : 's'}: ${captured.length} of ${reached.length} captured (${share.toFixed(1)} %)`,
      '',
      `${results.length} of ${points.length} points tried, ${results.length - reached.length} not reached; ` +
        `${whole.length} of the captured logs hold every serial line.`,
      '',
      '| point | phase | captured | lines | missing | reason |',
      '|---|---|---|---|---|---|',
      ...[...results]
        .sort((a, b) => (order.get(a.name) ?? 0) - (order.get(b.name) ?? 0))
        .map((result) => {
          const verdict = result.recovered ? 'yes' : result.reached ? '**no**' : 'not reached';
          const reason = result.recovered ? (result.firstMissing ?? '') : result.reason;
          const cells = [result.name, result.phase, verdict, result.lines, result.missing];
          return `| ${cells.join(' | ')} | ${reason.replaceAll('|', '\\|')} |`;
        }),
      '',
    );
  }
  return out.join('\n');
}
