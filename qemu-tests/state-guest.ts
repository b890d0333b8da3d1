/** A guest that tells how it was booted: what the kernel got from loader and entry stub. */
import { guestInitramfs, printBlock, type GuestFile } from './harness/guest.js';

/** Type of the status node in setup_data (docs/protocol.md). */
const statusType = '0x53415645';

/** Prints the block "state", and a block "files" of what lies in the root folder, then powers off. */
export async function stateGuest(files: readonly GuestFile[] = []): Promise<string> {
  const state = `
for node in /sys/kernel/boot_params/setup_data/[0-9]*; do
  [ -d $node ] || continue
  echo "node $(cat $node/type) $(od -An -v -tx1 $node/data | tr -d ' \\n')"
done
echo "cmdline $(cat /proc/cmdline)"
for map in /sys/firmware/memmap/[0-9]*; do
  echo "map $(cat $map/start) $(cat $map/end) $(cat $map/type)"
done`;
  return await guestInitramfs(
    `${printBlock('state', state)}${printBlock('files', 'ls -1 /')}poweroff -f\n`,
    files,
  );
}

export interface StatusNode {
  readonly version: number;
  readonly reason: number;
  /** Bytes. */
  readonly regionSize: number;
}

export interface GuestState {
  /** Nodes of Saveoops' own type, in order. */
  readonly nodes: readonly StatusNode[];
  readonly cmdline: string;
  /** Sizes in bytes of the ranges that the firmware's map, as the kernel got it, calls reserved. */
  readonly reserved: readonly number[];
}

/** Takes the lines of the block "state" apart. */
export function readState(lines: readonly string[]): GuestState {
  const after = (word: string): string[] =>
    lines.filter((line) => line.startsWith(`${word} `)).map((line) => line.slice(word.length + 1));
  return {
    nodes: after('node')
      .map((line) => line.split(' '))
      .filter(([type]) => type === statusType)
      .map(([, hex]) => statusNode(Buffer.from(hex ?? '', 'hex'))),
    cmdline: after('cmdline')[0] ?? '',
    reserved: after('map')
      .filter((line) => line.endsWith(' Reserved'))
      .map((line) => line.split(' ').map(Number))
      .map(([start = 0, end = 0]) => end - start + 1),
  };
}

function statusNode(data: Buffer): StatusNode {
  if (data.length !== 24) throw new Error(`the status node has ${data.length} bytes of data, not 24`);
  return {
    version: data.readUInt32LE(0),
    reason: data.readUInt32LE(4),
    regionSize: Number(data.readBigUInt64LE(8)),
  };
}
