/** The firmware's memory map as an SVG picture, the crash region marked. */
import { bytes } from './duration.js';
import type { MemoryMap, MemoryRange } from './memory-map.js';
import { forHtml } from '../safe-text.js';

const width = 960;
const row = 22;
const barStart = 330;
const barWidth = 330;
const mostRows = 64;

/** "" when the log has no map. One row a range; a bar's length is the logarithm of the size. */
export function svgMemory({ ranges, crashRegion }: MemoryMap): string {
  if (ranges.length === 0) return '';
  const shown = [...ranges].sort((a, b) => (a.start < b.start ? -1 : 1)).slice(0, mostRows);
  const largest = Math.max(1, ...shown.map(scaled));
  const height = shown.length * row + 4;
  return [
    `<svg class="memory" viewBox="0 0 ${width} ${height}" role="img" aria-label="Memory map of the firmware">`,
    ...shown.map((range, index) => rangeRow(range, index * row, largest, range === crashRegion?.range)),
    '</svg>',
    ...(ranges.length > shown.length
      ? [`<p>${ranges.length - shown.length} more ranges are not shown.</p>`]
      : []),
  ].join('\n');
}

function rangeRow(range: MemoryRange, y: number, largest: number, isCrashRegion: boolean): string {
  const { start, end, type, usable } = range;
  const kind = isCrashRegion
    ? 'crash-region'
    : usable
      ? 'usable'
      : /reserved/i.test(type)
        ? 'reserved'
        : 'firmware';
  const length = Math.max(2, (scaled(range) / largest) * barWidth);
  const base = y + 15;
  const says = isCrashRegion ? `${type}: crash region` : type;
  return (
    `<text class="address" x="4" y="${base}">${hex(start)}-${hex(end)}</text>` +
    `<rect class="${kind}" x="${barStart}" y="${y + 3}" width="${length.toFixed(1)}" height="${row - 6}"/>` +
    `<text x="${barStart + barWidth + 12}" y="${base}">${bytes(Number(end - start + 1n))}</text>` +
    `<text x="${barStart + barWidth + 90}" y="${base}">${forHtml(says)}</text>`
  );
}

const scaled = ({ start, end }: MemoryRange): number =>
  Math.max(1, Math.log2(Number(end - start + 1n) / 512));
const hex = (value: bigint): string => value.toString(16).padStart(12, '0');
