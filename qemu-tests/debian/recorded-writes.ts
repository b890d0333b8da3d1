/**
 * What a disk was told to write, in order: QEMU's block driver blklogwrites keeps it in the format of Linux'
 * Documentation/admin-guide/device-mapper/log-writes.rst. From it comes the disk as a power cut would have left it at any moment.
 *
 * Layout, little-endian, in units of a sector (512 bytes as asked for here):
 *
 *   sector 0     u64 magic 0x6a736677736872, u64 version 1, u64 entries, u32 bytes of a sector
 *   then each    a sector with u64 first sector, u64 sectors, u64 flags, u64 bytes of data; the data follow, but for a discard
 */
import { closeSync, fstatSync, openSync, readSync, writeFileSync, writeSync } from 'node:fs';

const sector = 512;
const magic = 0x6a736677736872n;
const flag = { flush: 1n, fua: 2n, discard: 4n } as const;

export interface RecordedWrite {
  /** Bytes on the disk. */
  readonly at: number;
  /** Bytes. 0: a flush alone. */
  readonly length: number;
  /** Bytes of the record's file in front of the data. */
  readonly data: number;
  /** The same behind them. */
  readonly end: number;
  /** All that was written before it is on the disk for good. */
  readonly flush: boolean;
  readonly discard: boolean;
}

/** QEMU options of a drive "recorded" over `image`. `record` is made anew. */
export function recordedDrive(image: string, record: string): readonly string[] {
  writeFileSync(record, '');
  return [
    '-blockdev',
    JSON.stringify({
      driver: 'blklogwrites',
      'node-name': 'recorded',
      'log-sector-size': sector,
      file: { driver: 'file', filename: image, cache: { 'no-flush': true } },
      log: { driver: 'file', filename: record, cache: { 'no-flush': true } },
    }),
  ];
}

/**
 * Reads a record up to its first entry that is not whole: QEMU writes the count in sector 0 now and then only. Throws an Error when
 * it is none.
 */
export function readRecord(record: string): readonly RecordedWrite[] {
  const file = openSync(record, 'r');
  try {
    const { size } = fstatSync(file);
    const head = Buffer.alloc(sector);
    readSync(file, head, 0, sector, 0);
    if (
      head.readBigUInt64LE(0) !== magic ||
      head.readBigUInt64LE(8) !== 1n ||
      head.readUInt32LE(24) !== sector
    )
      throw new Error(`failed: ${record} is no record of writes: ${head.subarray(0, 28).toString('hex')}`);
    const writes: RecordedWrite[] = [];
    let at = sector;
    while (at + sector <= size) {
      readSync(file, head, 0, sector, at);
      const [first, sectors, flags] = [0, 8, 16].map((place) => head.readBigUInt64LE(place)) as [
        bigint,
        bigint,
        bigint,
      ];
      const discard = (flags & flag.discard) !== 0n;
      const length = Number(sectors) * sector;
      const next = at + sector + (discard ? 0 : length);
      if (next > size) break;
      const flush = (flags & (flag.flush | flag.fua)) !== 0n;
      writes.push({ at: Number(first) * sector, length, data: at + sector, end: next, flush, discard });
      at = next;
    }
    return writes;
  } finally {
    closeSync(file);
  }
}

/** Does these writes again, on `image`. A discard leaves what was there: a disk may. */
export function replay(record: string, writes: readonly RecordedWrite[], image: string): void {
  const [from, to] = [openSync(record, 'r'), openSync(image, 'r+')];
  try {
    for (const { at, length, data, discard } of writes) {
      if (discard || length === 0) continue;
      const bytes = Buffer.alloc(length);
      if (readSync(from, bytes, 0, length, data) !== length)
        throw new Error(`lost: ${record} ends within a write`);
      writeSync(to, bytes, 0, length, at);
    }
  } finally {
    closeSync(from);
    closeSync(to);
  }
}

/**
 * What a power cut after `writes` leaves of them: those before the last flush, and of those that wait in the disk's cache every
 * second one, in any order that the disk likes.
 */
export function afterPowerCut(writes: readonly RecordedWrite[]): readonly RecordedWrite[] {
  const flushed = writes.findLastIndex(({ flush }) => flush) + 1;
  return writes.filter((_, index) => index < flushed || (index - flushed) % 2 === 0);
}
