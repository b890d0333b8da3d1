/** Pure arithmetic: which FAT, how large, for given files. No input or output. */

/** All sizes in 512-byte sectors. */
export interface FatGeometry {
  readonly bits: 16 | 32;
  readonly clusterSectors: number;
  readonly partitionSectors: number;
}

export const sectorSize = 512;
/** Where the partition starts: 1 MiB, as every partitioning tool does today. */
export const partitionStart = 2048;

/** Room that stays free, for captures: a log takes less than 0.2 MiB, a filtered dump of a small machine 20 to 60. */
export const roomForCaptures = 64 << 20;
/** Syslinux's own files: ldlinux.sys, ldlinux.c32, syslinux.efi and ldlinux.e64 take 0.5 MiB. */
const syslinuxBytes = 1 << 20;

/**
 * A FAT that holds files of these sizes (bytes). FAT16 up to 1 GiB: it has the shorter chain to walk, and Syslinux
 * walks it once for each file it opens. Cluster counts stay clear of the limits between the FAT types (4085 and
 * 65525 clusters, Microsoft's FAT specification): drivers disagree near them.
 * @param freeBytes room that stays free
 */
export function fatGeometry(fileSizes: readonly number[], freeBytes: number): FatGeometry {
  for (const [bits, clusterSectors, mostClusters] of [
    [16, 4, 65_000],
    [16, 8, 65_000],
    [16, 16, 65_000],
    [16, 32, 65_000],
    [32, 8, 1 << 18],
    [32, 16, 1 << 19],
    [32, 64, 1 << 27],
  ] as const) {
    const clusterBytes = clusterSectors * sectorSize;
    const data = fileSizes.reduce((sum, size) => sum + Math.ceil(size / clusterBytes), 0);
    const spare = Math.ceil((freeBytes + syslinuxBytes) / clusterBytes);
    const clusters = Math.max(data + spare, bits === 16 ? 8_192 : 70_000);
    if (clusters > mostClusters) continue;
    const fats = 2 * Math.ceil(((clusters + 2) * (bits / 8)) / sectorSize);
    const reserved = 64;
    const sectors = clusters * clusterSectors + fats + reserved;
    return { bits, clusterSectors, partitionSectors: Math.ceil(sectors / 2048) * 2048 };
  }
  throw new RangeError('files beyond any FAT32'); // Unreachable: sizeImageFiles limits each file to 4 GiB.
}
