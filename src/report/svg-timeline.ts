/** The timeline of a log as an SVG picture: how much the kernel said when, where it was silent, where it died. */
import { duration } from './duration.js';
import type { Death } from './find-deaths.js';
import type { LogLine } from './log-lines.js';
import { forHtml } from '../safe-text.js';
import { timeAxis, type TimeAxis } from './time-axis.js';

const width = 960;
const height = 200;
const left = 10;
const right = width - 10;
const top = 44;
const bottom = height - 34;
const bars = 190;
const mostGaps = 6;
const mostMarks = 30;

/** "" when no line has a time. Colours are the style sheet's. */
export function svgTimeline(
  lines: readonly LogLine[],
  deaths: readonly Death[],
  cause: Death | undefined,
  end: Death | undefined,
): string {
  const times = lines.flatMap(({ time }) => time ?? []);
  if (times.length === 0) return '';
  const axis = timeAxis(times);
  const x = (time: number): number => left + axis.position(time) * (right - left);
  return [
    `<svg class="timeline" viewBox="0 0 ${width} ${height}" role="img" aria-label="Lines of the log over time">`,
    ...gaps(axis, x),
    ...histogram(lines, axis),
    `<line class="axis" x1="${left}" y1="${bottom}" x2="${right}" y2="${bottom}"/>`,
    ...ticks(axis, lines),
    ...marks(deaths, cause, end, x),
    '</svg>',
  ].join('\n');
}

function histogram(lines: readonly LogLine[], axis: TimeAxis): string[] {
  const counts = Array.from({ length: bars }, () => ({ lines: 0, worst: 8 }));
  for (const { time, level } of lines) {
    const bar =
      time === undefined ? undefined : counts[Math.min(bars - 1, Math.floor(axis.position(time) * bars))];
    if (bar === undefined) continue;
    bar.lines++;
    bar.worst = Math.min(bar.worst, level ?? 8);
  }
  const most = counts.reduce((most, { lines }) => Math.max(most, lines), 1);
  const step = (right - left) / bars;
  return counts.flatMap(({ lines, worst }, index) => {
    if (lines === 0) return [];
    // By the root: one line beside two hundred is to be seen.
    const size = Math.max(2, Math.sqrt(lines / most) * (bottom - top));
    // KERN_ERR and worse; KERN_WARNING.
    const level = worst <= 3 ? 'error' : worst === 4 ? 'warning' : 'line';
    const x = (left + index * step).toFixed(1);
    return [
      `<rect class="${level}" x="${x}" y="${(bottom - size).toFixed(1)}" width="${(step - 1).toFixed(1)}" height="${size.toFixed(1)}"><title>${lines} line${lines === 1 ? '' : 's'}</title></rect>`,
    ];
  });
}

function gaps(axis: TimeAxis, x: (time: number) => number): string[] {
  const longest = [...axis.gaps].sort((a, b) => b.to - b.from - (a.to - a.from)).slice(0, mostGaps);
  return longest.flatMap(({ from, to }) => {
    const [start, end] = [x(from), x(to)];
    const middle = ((start + end) / 2).toFixed(1);
    return [
      `<rect class="gap" x="${start.toFixed(1)}" y="${top}" width="${(end - start).toFixed(1)}" height="${bottom - top}"><title>${duration(to - from)} without a line</title></rect>`,
      `<text class="small" x="${middle}" y="${(top + bottom) / 2}" text-anchor="middle">${duration(to - from)}</text>`,
    ];
  });
}

function ticks(axis: TimeAxis, lines: readonly LogLine[]): string[] {
  const count = 6;
  const written = Array.from({ length: count + 1 }, (_, index) => {
    const x = left + (index / count) * (right - left);
    const anchor = index === 0 ? 'start' : index === count ? 'end' : 'middle';
    return (
      `<line class="axis" x1="${x.toFixed(1)}" y1="${bottom}" x2="${x.toFixed(1)}" y2="${bottom + 5}"/>` +
      `<text class="small" x="${x.toFixed(1)}" y="${bottom + 18}" text-anchor="${anchor}">${duration(axis.timeAt(index / count))}</text>`
    );
  });
  const untimed = lines.filter(({ time }) => time === undefined).length;
  if (untimed === 0) return written;
  return [
    ...written,
    `<text class="small" x="${left}" y="${height - 2}">${untimed} lines without a time are not shown</text>`,
  ];
}

function marks(
  deaths: readonly Death[],
  cause: Death | undefined,
  end: Death | undefined,
  x: (time: number) => number,
): string[] {
  // The cause and the end last: they lie above the others.
  const others = deaths.filter((death) => death !== cause && death !== end).slice(0, mostMarks);
  const important = [...new Set([cause, end])].filter((death) => death !== undefined);
  return [...others, ...important].flatMap((death) => {
    const { time, text } = death.headline;
    if (time === undefined) return [];
    const at = x(time);
    const kind = death === cause ? 'cause' : death === end ? 'end' : 'other';
    const label = death === cause ? 'cause' : 'panic';
    const y = death === cause ? 16 : 32;
    const anchor = at > width / 2 ? 'end' : 'start';
    return [
      `<line class="mark ${kind}" x1="${at.toFixed(1)}" y1="${kind === 'other' ? top : y + 4}" x2="${at.toFixed(1)}" y2="${bottom}"><title>${forHtml(text.slice(0, 200))}</title></line>`,
      ...(kind === 'other'
        ? []
        : [
            `<text class="label ${kind}" x="${at.toFixed(1)}" y="${y}" text-anchor="${anchor}">${label}: ${death.kind}, ${duration(time)}</text>`,
          ]),
    ];
  });
}
