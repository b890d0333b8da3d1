/** Where the crash region lies, from /proc/iomem: its format is in Documentation/filesystems/proc.rst. */

export interface PhysicalRange {
  /** First and last byte, hexadecimal with 0x. */
  readonly start: string;
  readonly end: string;
}

/**
 * The reserved range that holds a region of `size` bytes: the smallest one, since the kernel joins ranges that touch.
 * undefined: none, as for users other than root, who see zeroes.
 */
export function findReserved(iomem: string, size: number): PhysicalRange | undefined {
  const ranges = iomem.split('\n').flatMap((line) => {
    // Ranges inside others are indented.
    const [, from, to] = /^([0-9a-f]+)-([0-9a-f]+) : Reserved$/i.exec(line) ?? [];
    if (from === undefined || to === undefined) return [];
    const [start, end] = [parseInt(from, 16), parseInt(to, 16)];
    return size > 0 && end + 1 - start >= size ? [{ start, end }] : [];
  });
  const [found] = ranges.sort((a, b) => a.end - a.start - (b.end - b.start));
  return found && { start: `0x${found.start.toString(16)}`, end: `0x${found.end.toString(16)}` };
}
