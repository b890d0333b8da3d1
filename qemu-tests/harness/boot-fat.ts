/** The captures on the FAT of a run's boot disk, read by mtools. */
import { mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { partitionStart, sectorSize } from '../../src/image/fat-geometry.js';
import type { ScenarioResult } from '../../src/machine/scenario.js';
import { bootDisk } from './boot.js';
import { host } from './disks.js';

export interface BootFat {
  /** Path of a copy of the file system, which fsck.fat has found in order. */
  readonly partition: string;
  /** Names in a folder, sorted. */
  readonly list: (path: string) => readonly string[];
  /** Copies a file, by its path from the file system's root, and gives the copy's path. */
  readonly file: (path: string) => string;
}

/** What capture.json says, of what tests ask for. */
export interface CaptureFacts {
  readonly name: string;
  readonly inARow: number;
  readonly message: string;
  readonly files: readonly { readonly name: string; readonly sha256: string }[];
  readonly failures: readonly string[];
}

/** @param folder becomes a copy of what is asked for. Throws when the file system is not in order. */
export function bootFat(run: ScenarioResult, folder: string): BootFat {
  mkdirSync(folder, { recursive: true });
  const partition = `${folder}.fat`;
  const from = [`if=${bootDisk(run)}`, `bs=${sectorSize}`, `skip=${partitionStart}`];
  host('dd', [...from, `of=${partition}`, 'conv=sparse']);
  host('fsck.fat', ['-n', partition]);
  const file = (path: string): string => {
    const out = join(folder, path);
    mkdirSync(dirname(out), { recursive: true });
    host('mcopy', ['-n', '-i', partition, `::/${path}`, out]);
    return out;
  };
  const list = (path: string): string[] =>
    host('mdir', ['-b', '-i', partition, `::/${path}`])
      .split('\n')
      .map((line) => line.trim().replace(/\/$/, '').split('/').pop() ?? '')
      .filter((name) => name !== '')
      .sort();
  return { partition, list, file };
}

export function captureFacts({ list, file }: BootFat): readonly CaptureFacts[] {
  return list('saveoops')
    .filter((name) => name !== 'in-a-row')
    .map((name) => {
      const text = host('cat', [file(`saveoops/${name}/capture.json`)]);
      return { ...(JSON.parse(text) as Omit<CaptureFacts, 'name'>), name };
    });
}

/** Names of saved files that are not what capture.json says. */
export function damagedFiles({ file }: BootFat, captures: readonly CaptureFacts[]): readonly string[] {
  return captures.flatMap(({ name, files }) =>
    files
      .filter(
        (each) => host('sha256sum', [file(`saveoops/${name}/${each.name}`)]).split(' ')[0] !== each.sha256,
      )
      .map((each) => `${name}/${each.name}`),
  );
}
