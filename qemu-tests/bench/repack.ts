/**
 * Wall-clock time of `saveoops repack` to a file, against cp and sync of the same file, and against a Node process that starts, reads the
 * file, writes it and syncs. Alternating runs, medians.
 */
import type { Figure } from './figures.js';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { buildPayload, cli, median, MiB, randomFile, sizeOf, timed } from './timed.js';

const pairs = 5;
const initrdSize = 100 * MiB;
const copyInNode = `
const fs = require('node:fs');
const [from, to] = process.argv.slice(1);
const file = fs.openSync(to, 'w');
fs.writeFileSync(file, fs.readFileSync(from));
fs.fsyncSync(file);
`;

export function benchRepack(kernel: string, folder: string): readonly Figure[] {
  const initrd = randomFile(join(folder, 'initrd.img'), initrdSize);
  const out = join(folder, 'to-repack');
  buildPayload(kernel, initrd, out);
  const payload = join(out, 'saveoops.c32');
  const to = join(folder, 'copy.c32');
  const ways: Record<'repack' | 'cp' | 'node', readonly [string, readonly string[]]> = {
    repack: [process.execPath, [cli, 'repack', payload, '--crash-append', 'saveoops.hold=60', '--out', to]],
    cp: ['sh', ['-c', 'cp "$1" "$2" && sync "$2"', 'sh', payload, to]],
    node: [process.execPath, ['-e', copyInNode, payload, to]],
  };
  const runs: Record<'repack' | 'cp' | 'node', number[]> = { repack: [], cp: [], node: [] };
  for (let i = 0; i < pairs; i++) {
    for (const name of ['repack', 'cp', 'node'] as const) {
      rmSync(to, { force: true });
      runs[name].push(timed(...ways[name]));
    }
  }
  const [repack, cp, node] = [median(runs.repack), median(runs.cp), median(runs.node)];
  const what = `repack of ${(sizeOf(payload) / MiB).toFixed(0)} MiB, median of ${pairs}`;
  return [
    { what, own: repack, anchor: 'cp and sync', anchored: cp, unit: 's' },
    { what, own: repack, anchor: 'the same copy in a Node process', anchored: node, unit: 's' },
  ];
}
