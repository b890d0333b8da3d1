/** `saveoops inspect FILE`: what is in a payload, from the file alone, with every digest checked. */
import { SaveoopsError } from '../errors.js';
import { readInput } from '../host/files.js';
import { readManifest } from '../payload/com32-file.js';
import { sha256Hex } from '../bytes/digests.js';
import type { Manifest, ManifestRegion } from '../payload/manifest.js';
import { forJson, forTerminal } from '../safe-text.js';

export interface InspectOptions {
  readonly file: string;
  readonly json: boolean;
}

/** Throws `file`, `wrong-file`, `truncated`, or `digest` after the table, naming every damaged region. */
export async function runInspect(
  options: InspectOptions,
  io: { readonly out: (text: string) => void },
): Promise<void> {
  const bytes = await readInput(options.file, 'a saveoops.c32');
  const manifest = readManifest(bytes, options.file);
  const damaged = damagedRegions(bytes, manifest);
  if (options.json) io.out(`${forJson(manifest, 1)}\n`);
  else io.out(renderPayloadTable(manifest, new Set(damaged.map((region) => region.name))));
  refuseDamage(damaged, options.file);
}

/** Reads a payload and checks every digest. Throws `file`, `wrong-file`, `truncated`, or `digest`. */
export async function verifyPayload(file: string): Promise<void> {
  const bytes = await readInput(file, 'a saveoops.c32');
  refuseDamage(damagedRegions(bytes, readManifest(bytes, file)), file);
}

function damagedRegions(bytes: Uint8Array, { regions }: Manifest): readonly ManifestRegion[] {
  return regions.filter(
    (region) => sha256Hex(bytes.subarray(region.offset, region.offset + region.size)) !== region.sha256,
  );
}

function refuseDamage(damaged: readonly ManifestRegion[], file: string): void {
  if (damaged.length === 0) return;
  throw new SaveoopsError('digest', 'the payload is damaged', {
    where: file,
    found: damaged.map((region) => `${region.name}: other bytes than were written`).join(', '),
    wanted: 'the SHA-256 that the manifest holds for each region',
    hint: 'build the payload again, or copy it again from where it was built',
  });
}

/** What `inspect` shows, line by line. */
export function renderPayloadTable(manifest: Manifest, damaged: ReadonlySet<string>): string {
  const { primary, crash, reset, memory, regions, edits } = manifest;
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
    `reserves  ${(memory.size / (1 << 20)).toFixed(0)} MiB of RAM`,
    `edits     ${edits.length} runs of bytes in the primary: ${edits.map((edit) => edit.what).join(', ')}`,
    `built by  ${manifest.generator}`,
    '',
    line(head),
    ...rows.map(line),
  ]
    .map((each) => `${forTerminal(each)}\n`)
    .join('');
}
