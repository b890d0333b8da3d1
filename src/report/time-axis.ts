/**
 * A time axis for a kernel log. A boot says a thousand things in five seconds and then nothing for days: long gaps are
 * cut to a fixed width, and marked.
 */

export interface Gap {
  /** Seconds since the kernel's start. */
  readonly from: number;
  readonly to: number;
}

export interface TimeAxis {
  /** 0 to 1 for a time between the first and the last. */
  readonly position: (time: number) => number;
  /** The time at a position: for the labels. */
  readonly timeAt: (position: number) => number;
  /** Those that were cut. */
  readonly gaps: readonly Gap[];
}

/** A gap that is longer than this share of all the talking is cut to it. */
const longestShare = 1 / 8;
/** Seconds; silence up to here is no gap. */
const shortestGap = 2;

/** @param times of the log's lines, in any order */
export function timeAxis(times: readonly number[]): TimeAxis {
  const sorted = [...new Set(times)].sort((a, b) => a - b);
  const first = sorted[0] ?? 0;
  const silences = sorted.slice(1).map((time, index) => time - (sorted[index] ?? 0));
  const talking = silences.reduce((sum, silence) => sum + Math.min(silence, shortestGap), 0);
  const longest = Math.max(shortestGap, talking * longestShare);
  // Where each time is drawn, in seconds of the cut axis.
  const drawn = [0];
  const gaps: Gap[] = [];
  silences.forEach((silence, index) => {
    drawn.push((drawn[index] ?? 0) + Math.min(silence, longest));
    if (silence > longest) gaps.push({ from: sorted[index] ?? 0, to: sorted[index + 1] ?? 0 });
  });
  const total = drawn.at(-1) ?? 0;
  return {
    position: (time) => (total === 0 ? 0 : interpolate(sorted, drawn, time) / total),
    timeAt: (position) => (total === 0 ? first : interpolate(drawn, sorted, position * total)),
    gaps,
  };
}

/** The value in `to` at the place that `value` has in `from`, both ascending. */
function interpolate(from: readonly number[], to: readonly number[], value: number): number {
  let low = 0;
  let high = from.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if ((from[middle] ?? 0) <= value) low = middle;
    else high = middle;
  }
  const [start = 0, end = 0] = [from[low], from[high]];
  const [toStart = 0, toEnd = 0] = [to[low], to[high]];
  const share = end === start ? 0 : Math.min(1, Math.max(0, (value - start) / (end - start)));
  return toStart + (toEnd - toStart) * share;
}
