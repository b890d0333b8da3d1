/** A payload as a picture: the RAM that it reserves and the file itself, both to one scale. Pure. */
import { mebibytes } from '../bytes/mebibytes.js';
import type { Manifest } from '../payload/manifest.js';
import { forHtml } from '../safe-text.js';

interface Block {
  readonly name: string;
  readonly bytes: number;
}

interface Bar {
  readonly title: string;
  readonly blocks: readonly Block[];
}

const MiB = 1 << 20;
/** Pixels. */
const layout = {
  width: 1200,
  top: 64,
  height: 420,
  barWidth: 130,
  line: 17,
  column: 560,
  text: 215,
} as const;
const colours = ['#4c78a8', '#f58518', '#54a24b', '#b79a20', '#e45756', '#72b7b2', '#9d755d', '#b279a2'];

/** Blocks lie as in memory and file, lower addresses above; a block too thin to be seen is one pixel high. */
export function renderSvgMap(manifest: Manifest): string {
  const bars = [regionBar(manifest), fileBar(manifest)];
  const largest = Math.max(...bars.map(({ blocks }) => sum(blocks)));
  const scale = layout.height / largest;
  const drawn = bars.map((bar, index) => drawBar(bar, index * layout.column, scale));
  const height = Math.max(layout.top + layout.height, ...drawn.map(({ end }) => end)) + 24;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${layout.width} ${height}" font-family="sans-serif" font-size="13" role="img" aria-label="Memory map">`,
    `<rect width="${layout.width}" height="${height}" fill="#fff"/>`,
    `<text x="16" y="24" font-size="16">${forHtml(`Linux ${manifest.primary.release}, captured by ${manifest.crash.release}`)}</text>`,
    ...drawn.map(({ svg }) => svg),
    '</svg>',
    '',
  ].join('\n');
}

/** In the order of addresses: the initramfs ends the region, and what it becomes lies wherever the crash kernel puts it. */
function regionBar({ memory }: Manifest): Bar {
  const stored = memory.parts.findIndex(({ what }) => what.endsWith('as stored'));
  const parts = memory.parts.filter((_, index) => index !== stored);
  const last = memory.parts.slice(stored, stored + 1);
  const ordered = stored < 0 ? memory.parts : [...parts, ...last];
  return {
    title: `RAM reserved for the crash kernel: ${size(memory.size)}`,
    blocks: ordered.map(({ what, bytes }) => ({ name: what, bytes })),
  };
}

function fileBar({ regions }: Manifest): Bar {
  const blocks: Block[] = [];
  let at = 0;
  for (const region of [...regions].sort((a, b) => a.offset - b.offset)) {
    // Head, padding and tables of the file belong to no region; a region inside another one is shown with it.
    if (region.offset > at) blocks.push({ name: '', bytes: region.offset - at });
    if (region.offset < at) continue;
    blocks.push({ name: `${region.name}: ${region.purpose}`, bytes: region.size });
    at = region.offset + region.size;
  }
  return { title: `saveoops.c32: ${size(at)}`, blocks };
}

function drawBar(
  { title, blocks }: Bar,
  left: number,
  scale: number,
): { readonly svg: string; readonly end: number } {
  const x = left + 70;
  const lines = [`<text x="${left + 16}" y="${layout.top - 14}" font-weight="bold">${forHtml(title)}</text>`];
  let [offset, label, colour]: [number, number, number] = [0, layout.top, 0];
  for (const { name, bytes } of blocks) {
    const y = layout.top + offset * scale;
    const height = Math.max(1, bytes * scale);
    if (name !== '') {
      const fill = colours[colour++ % colours.length] ?? '';
      label = Math.max(label + layout.line, y + height / 2 + 4);
      lines.push(
        `<rect x="${x}" y="${pixels(y)}" width="${layout.barWidth}" height="${pixels(height)}" fill="${fill}"><title>${forHtml(`${name}, ${bytes} bytes at 0x${offset.toString(16)}`)}</title></rect>`,
        `<path d="M${x + layout.barWidth} ${pixels(y + height / 2)}L${left + layout.text - 6} ${pixels(label - 4)}" stroke="#888" fill="none"/>`,
        `<text x="${left + layout.text}" y="${pixels(label)}">${forHtml(`${size(bytes)}  ${shortened(name)}`)}</text>`,
      );
      if (height >= layout.line) {
        lines.push(
          `<text x="${x - 6}" y="${pixels(y + 11)}" text-anchor="end" font-size="10" fill="#555">0x${offset.toString(16)}</text>`,
        );
      }
    }
    offset += bytes;
  }
  const end = layout.top + offset * scale;
  lines.push(
    `<rect x="${x}" y="${layout.top}" width="${layout.barWidth}" height="${pixels(offset * scale)}" fill="none" stroke="#333"/>`,
  );
  return { svg: lines.join('\n'), end: Math.max(end, label) };
}

const sum = (blocks: readonly Block[]): number => blocks.reduce((total, { bytes }) => total + bytes, 0);
const pixels = (value: number): string => value.toFixed(1);
const size = (bytes: number): string =>
  bytes >= MiB / 10 ? mebibytes(bytes) : `${(bytes / 1024).toFixed(1)} KiB`;
const shortened = (text: string): string => (text.length > 50 ? `${text.slice(0, 49)}…` : text);
