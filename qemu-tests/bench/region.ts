/** RAM that a payload reserves for the crash kernel, with what it does by default. */
import { join } from 'node:path';
import { readManifest } from '../../src/image/payload-folder.js';
import { build } from '../../src/library/build.js';
import type { Figure } from './figures.js';
import { MiB } from './timed.js';

/** MiB. */
const goal = 112;

export async function benchRegion(kernel: string, folder: string): Promise<readonly Figure[]> {
  const out = join(folder, 'payload');
  const { modules } = await build({ kernel, out });
  const { memory } = await readManifest(out);
  return [
    {
      what: `RAM reserved for the crash kernel, ${modules === null ? 'without modules: none are here' : `with ${modules.count} modules`}`,
      own: memory.size / MiB,
      anchor: 'at most',
      anchored: goal,
      unit: 'MiB',
      goal: 1,
    },
  ];
}
