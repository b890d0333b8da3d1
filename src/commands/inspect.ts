/** `saveoops inspect FILE`: what is in a payload, with every digest checked. */
import { efiModuleFile } from '../compose/payload-files.js';
import { writeAtomic } from '../host/files.js';
import type { ResultIo } from '../host/output.js';
import { inspect } from '../library/inspect.js';
import { declaredEntries } from '../payload/check-composed.js';
import type { Manifest } from '../payload/manifest.js';
import { forJson, forTerminal } from '../safe-text.js';
import { renderSvgMap } from './svg-map.js';

export interface InspectOptions {
  readonly file: string;
  /** File to write a picture to. */
  readonly svg?: string | undefined;
  readonly json: boolean;
}

/** Throws what inspect() throws, and, after the table, what it found wrong. */
export async function runInspect(options: InspectOptions, io: ResultIo): Promise<void> {
  const { manifest, damaged, refusal } = await inspect(options.file, io);
  if (options.svg !== undefined) await writeAtomic(options.svg, [Buffer.from(renderSvgMap(manifest))]);
  io.out(options.json ? `${forJson(manifest, 1)}\n` : renderPayloadTable(manifest, new Set(damaged)));
  if (refusal !== undefined) throw refusal;
}

/** What `inspect` shows, line by line. */
export function renderPayloadTable(manifest: Manifest, damaged: ReadonlySet<string>): string {
  const { primary, crash, reset, afterReset, bootWatchdog, memory, regions, efiModule, edits } = manifest;
  const resets = [...(reset.vga ? ['VGA to text mode'] : []), ...(reset.pic ? ['PIC to BIOS vectors'] : [])];
  const rows = regions.map((region) => [
    region.name,
    `0x${region.offset.toString(16)}`,
    String(region.size),
    damaged.has(region.name) ? 'DAMAGED' : region.sha256.slice(0, 12),
    region.purpose,
  ]);
  const head = ['region', 'offset', 'bytes', 'sha256', 'purpose'];
  const widths = head.map((title, i) => Math.max(title.length, ...rows.map((row) => (row[i] ?? '').length)));
  const line = (row: readonly string[]): string =>
    row
      .map((cell, i) => (i === 2 ? cell.padStart(widths[i] ?? 0) : cell.padEnd(widths[i] ?? 0)))
      .join('  ')
      .trimEnd();
  return [
    `primary   Linux ${primary.release}  ${primary.append}`,
    `crash     Linux ${crash.release}  ${crash.append}`,
    ...(resets.length > 0 ? [`resets    ${resets.join(', ')}`] : []),
    ...(afterReset ? ['captures  after a reset, too'] : []),
    ...(bootWatchdog > 0 ? [`watchdog  ${bootWatchdog} s from the entry stub to saveoops booted`] : []),
    `reserves  ${(memory.size / (1 << 20)).toFixed(0)} MiB of RAM`,
    `entries   ${declaredEntries(edits).join(', ')}`,
    `edits     ${edits.length} runs of bytes in the primary: ${edits.map((edit) => edit.what).join(', ')}`,
    `UEFI      ${efiModuleFile}  ${damaged.has(efiModuleFile) ? 'DAMAGED' : efiModule.sha256.slice(0, 12)}`,
    `built by  ${manifest.generator}`,
    '',
    line(head),
    ...rows.map(line),
  ]
    .map((each) => `${forTerminal(each)}\n`)
    .join('');
}
