/** Times for a person. */

/** Seconds as "2 d 3 h 4 min 5.123 s"; below a minute the seconds alone. */
export function duration(seconds: number): string {
  const whole = Math.floor(seconds);
  const parts: readonly (readonly [number, string])[] = [
    [Math.floor(whole / 86_400), 'd'],
    [Math.floor(whole / 3600) % 24, 'h'],
    [Math.floor(whole / 60) % 60, 'min'],
  ];
  const rest = seconds - whole + (whole % 60);
  const longer = parts.filter(([count]) => count > 0).map(([count, unit]) => `${count} ${unit}`);
  return [...longer, `${rest.toFixed(longer.length > 0 ? 0 : 3)} s`].join(' ');
}

/** Bytes as "26 KiB", "1.5 GiB". */
export function bytes(count: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let value = count;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${value >= 10 || unit === 0 ? value.toFixed(0) : value.toFixed(1)} ${units[unit] ?? ''}`;
}
