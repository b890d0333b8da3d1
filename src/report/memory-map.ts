/** The firmware's memory map, from the log of a kernel that was started by it. */
import type { LogLine } from './log-lines.js';

export interface MemoryRange {
  readonly start: bigint;
  /** Of the last byte. */
  readonly end: bigint;
  /** As printed: usable, reserved, ACPI data ... */
  readonly type: string;
  /** RAM that the kernel could use. */
  readonly usable: boolean;
}

export interface MemoryMap {
  readonly ranges: readonly MemoryRange[];
  /** The reserved range with the crash region in it. */
  readonly crashRegion: { readonly range: MemoryRange; readonly how: 'elfcorehdr' | 'guess' } | undefined;
}

const mostRanges = 512;
const entry = /^BIOS-e820: \[mem 0x([0-9a-f]{1,16})-0x([0-9a-f]{1,16})\] {1,8}(.{1,80})$/;
/** Newer kernels say the size before the type: "639   kB System RAM". */
const sizeBefore = /^[\d.]{1,10} {0,4}[kMGT]?B {1,4}/;

/** @param elfcorehdr address of the crash kernel's ELF headers, which lie in the crash region */
export function readMemoryMap(lines: readonly LogLine[], elfcorehdr: bigint | undefined): MemoryMap {
  const ranges = lines.flatMap(({ text }) => range(text)).slice(0, mostRanges);
  return { ranges, crashRegion: findCrashRegion(ranges, elfcorehdr) };
}

function range(text: string): MemoryRange[] {
  const match = text.startsWith('BIOS-e820: ') ? entry.exec(text.trimEnd()) : null;
  if (match === null) return [];
  const [, start = '', end = '', description = ''] = match;
  const type = description.replace(sizeBefore, '');
  const read = { start: BigInt(`0x${start}`), end: BigInt(`0x${end}`), type };
  return read.end < read.start ? [] : [{ ...read, usable: /^(?:usable|System RAM)\b/.test(type) }];
}

const MiB = 1n << 20n;

/**
 * The entry stub takes the region out of usable RAM below 4 GiB, at a boundary of 2 MiB. Without the crash kernel's
 * command line it is guessed: the largest reserved range of at least 64 MiB right above usable RAM, at such a boundary.
 */
function findCrashRegion(
  ranges: readonly MemoryRange[],
  elfcorehdr: bigint | undefined,
): MemoryMap['crashRegion'] {
  const reserved = ranges.filter(({ type, end }) => /reserved/i.test(type) && end < 1n << 32n);
  if (elfcorehdr !== undefined) {
    const range = reserved.find(({ start, end }) => start <= elfcorehdr && elfcorehdr <= end);
    if (range !== undefined) return { range, how: 'elfcorehdr' };
  }
  const size = ({ start, end }: MemoryRange): bigint => end - start + 1n;
  const [range] = reserved
    .filter(
      (each) =>
        size(each) >= 64n * MiB &&
        each.start % (2n * MiB) === 0n &&
        ranges.some(({ usable, end }) => usable && end + 1n === each.start),
    )
    .sort((a, b) => (size(a) < size(b) ? 1 : -1));
  return range === undefined ? undefined : { range, how: 'guess' };
}

const units: Readonly<Record<string, bigint>> = { '': 1n, K: 1n << 10n, M: 1n << 20n, G: 1n << 30n };

/** `elfcorehdr=[SIZE@]ADDRESS` of the crash kernel's command line. */
export function elfcorehdrOf(commandLine: string): bigint | undefined {
  const match = /(?:^|\s)elfcorehdr=(?:\w{1,20}@)?(0x[0-9a-f]{1,16}|\d{1,19})([KMG]?)(?:\s|$)/i.exec(
    commandLine,
  );
  if (match === null) return undefined;
  return BigInt(match[1] ?? '0') * (units[(match[2] ?? '').toUpperCase()] ?? 1n);
}
