/** docs/results/support-matrix.md: which stock kernels were armed, booted, panicked and captured. */
import type { MatrixKernel } from './kernels.js';

/** "passed", or how it went. */
export interface KernelResult {
  readonly built: string;
  /** Bytes of the crash region. */
  readonly region?: number;
  /** Bytes of the gap that holds the hook. */
  readonly gap?: number;
  /** The hook takes over from early_fixup_exception(). */
  readonly earlyExceptions?: boolean;
  readonly boot?: string;
  readonly early?: string;
  readonly late?: string;
  readonly mount?: string;
  /** UEFI: by syslinux.efi, which enters at the EFI handover entry, and by firmware, at the PE entry. */
  readonly handover?: string;
  readonly pe?: string;
  readonly vmcoreinfo?: string;
}

export interface MatrixRow {
  readonly kernel: MatrixKernel;
  /** Of the crash kernel, when it is another one. */
  readonly crash: MatrixKernel | undefined;
  readonly compression: string;
  /** Undefined when it was not run. */
  readonly result: KernelResult | undefined;
}

const MiB = 1 << 20;

export const passed = (result: KernelResult): boolean =>
  [
    result.built,
    ...[result.boot, result.early, result.late, result.mount],
    ...[result.handover, result.pe],
  ].every((each) => each === 'passed') && result.vmcoreinfo?.startsWith('failed') === false;

/** The document. `gone`: kernels of kernels.lock that could not be had; `loaders`: the table of docs/loaders.md. */
export function renderMatrix(
  rows: readonly MatrixRow[],
  gone: readonly MatrixKernel[],
  loaders: string,
): string {
  const known = rows.flatMap((row) => (row.result === undefined ? [] : [{ ...row, result: row.result }]));
  const own = known.filter(({ crash }) => crash === undefined);
  const mixed = known.filter(({ crash }) => crash !== undefined);
  const namesOf = (title: string, all: readonly string[]): string[] =>
    all.length === 0 ? [] : ['', `${title}: ${all.join(', ')}.`];
  const cell = (value: string | undefined): string =>
    (value === 'passed' ? 'yes' : (value ?? '-')).replaceAll('|', '\\|');
  const outcome = (result: KernelResult): string[] =>
    [
      ...[result.boot, result.early, result.late, result.mount, result.handover, result.pe],
      result.vmcoreinfo,
    ].map(cell);
  return [
    '# Kernels that Saveoops was run on',
    '',
    'Written by `npm run matrix`: stock Debian kernels, in QEMU (TCG, q35, 1 CPU, 1 GiB), KASLR on. BIOS unless it says UEFI.',
    '',
    '- *why*: newest: of its series and flavour in its Debian release (qemu-tests/matrix/suites), so a new series comes in by itself;',
    '  kept: always run (qemu-tests/matrix/kernels.lock)',
    '- *gap*: bytes of unused .text that hold the hook',
    '- *region*: RAM reserved; without the kernel modules of the capture initramfs (6.1 amd64 with them and `--dump`: 128 MiB)',
    '- *early exceptions*: an exception before the kernel has its own handlers is captured, too',
    '- *userspace*: the armed kernel boots to a program that reads /proc/kcore',
    '- *early panic*: `saveoops test --panic start_kernel`; *late panic*: sysrq-c from userspace; *test*: `saveoops test`. The',
    '  log recovered from /proc/vmcore has the panic of that run',
    '- *EFI handover*: `saveoops test --firmware uefi`, OVMF with syslinux.efi; *PE*: the file of `--format efi` as BOOTX64.EFI, which',
    '  OVMF starts without a loader. *userspace* to *test* enter at code32_start, from a BIOS',
    '- *VMCOREINFO*: the note that the build makes against the one in /proc/kcore of the running kernel; "more" are lines that this',
    '  kernel does not publish and others do',
    '',
    `${known.filter(({ result }) => passed(result)).length} of ${known.length} rows passed everywhere.`,
    ...namesOf(
      'Not run with this version of Saveoops',
      rows
        .filter(({ result }) => result === undefined)
        .map(({ kernel, crash }) => [kernel.release, ...(crash ? [crash.release] : [])].join(' with ')),
    ),
    ...namesOf(
      'Not on the mirror',
      gone.map(({ release, version }) => `${release} (${version})`),
    ),
    '',
    '| kernel | version | suite | why | compression | gap | early exceptions | region | userspace | early panic | late panic | test | EFI handover | PE | VMCOREINFO |',
    '|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|',
    ...own.map((row) => {
      const { kernel, compression, result } = row;
      const facts =
        result.built === 'passed'
          ? [result.gap, result.earlyExceptions === true ? 'yes' : 'no', `${(result.region ?? 0) / MiB} MiB`]
          : [`**${cell(result.built)}**`, '-', '-'];
      const head = [kernel.release, kernel.version, kernel.suite, kernel.kind, compression, ...facts];
      return `| ${[...head, ...outcome(row.result)].join(' | ')} |`;
    }),
    '',
    '## A crash kernel of another version',
    '',
    '| primary kernel | crash kernel | userspace | early panic | late panic | test | EFI handover | PE | VMCOREINFO |',
    '|---|---|---|---|---|---|---|---|---|',
    ...mixed.map((row) => {
      const { kernel, crash, result } = row;
      const cells =
        result.built === 'passed'
          ? outcome(row.result)
          : [`**${cell(result.built)}**`, ...Array<string>(6).fill('-')];
      return `| ${[kernel.release, crash?.release ?? '', ...cells].join(' | ')} |`;
    }),
    '',
    '## Boot loaders',
    '',
    'From [loaders.md](../loaders.md), where the tests of each are named.',
    '',
    loaders,
    '',
  ].join('\n');
}
