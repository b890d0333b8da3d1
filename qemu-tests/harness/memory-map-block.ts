/** A machine whose firmware tells another memory map: memory-map-block.S on a disk that starts before the payload's. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { BootOptions } from './boot.js';
import { cache, digestOf, makeOnce, repository } from './folders.js';
import { zeroPage, type E820Entry } from './machine-facts.js';

const sector = 512;
/** `entries` in memory-map-block.S. */
const countOffset = 508;
/** KIB in memory-map-block.S, bytes: of low memory, which the map must not call RAM. */
export const blockSize = 4096;

/** What bootPayload() needs beside the payload, for a machine with this map. */
export async function withMemoryMap(
  map: readonly E820Entry[],
): Promise<Required<Pick<BootOptions, 'extra' | 'diskDevice'>>> {
  const source = join(repository, 'qemu-tests/harness/memory-map-block.S');
  const key = digestOf(readFileSync(source), ...map.map(({ start, end, type }) => `${start} ${end} ${type}`));
  const file = await makeOnce(join(cache, 'guests', `memory-map-${key}.img`), async (out) => {
    const linking = ['-Ttext=0', '-e', 'start', '--build-id=none', '--oformat=binary'].map(
      (each) => `-Wl,${each}`,
    );
    execFileSync('gcc', ['-m32', '-nostdlib', '-static', '-no-pie', ...linking, '-o', out, source]);
    await writeFile(out, mapDisk(readFileSync(out), map));
  });
  return {
    extra: [
      ...['-drive', `if=none,id=map,format=raw,snapshot=on,file=${file}`],
      ...['-device', 'ide-hd,drive=map,bus=ide.0,bootindex=0'],
    ],
    diskDevice: ['-device', 'ide-hd,drive=disk,bus=ide.1,bootindex=1'],
  };
}

function mapDisk(block: Buffer, map: readonly E820Entry[]): Buffer {
  if (sector + map.length * zeroPage.e820EntrySize > blockSize)
    throw new Error(`${map.length} entries do not fit the block`);
  const disk = Buffer.alloc(1 << 20);
  disk.set(block);
  disk.writeUInt16LE(map.length, countOffset);
  map.forEach(({ start, end, type }, index) => {
    const at = sector + index * zeroPage.e820EntrySize;
    disk.writeBigUInt64LE(start, at);
    disk.writeBigUInt64LE(end - start, at + 8);
    disk.writeUInt32LE(type, at + 16);
  });
  return disk;
}
