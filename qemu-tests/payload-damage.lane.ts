/**
 * `npm run test:damage`: saveoops.c32 cut off at every boundary of its regions and at random places, and with a flipped bit
 * at random places of every region. Whatever is left of it, the machine comes up: unarmed, or armed with nothing wrong in
 * what runs. SAVEOOPS_DAMAGE: number of random cuts (default 200; a twentieth of it are the flips in each region).
 *
 * The machine that comes up says how it was booted, the plan that armed it has digests of what matters, and a machine that does not come
 * up within its time is the finding.
 */
import { readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { readManifest } from '../src/image/payload-folder.js';
import { serialLines } from '../src/machine/serial-text.js';
import type { Manifest } from '../src/payload/manifest.js';
import { SeededRandom } from '../src/testkit/mutate.js';
import { bootPayload, check, guestBlock, serialConsole } from './harness/boot.js';
import { payload } from './harness/payloads.js';
import { readState, stateGuest } from './state-guest.js';

const cuts = Number(process.env['SAVEOOPS_DAMAGE'] ?? 200);
const flips = Math.ceil(cuts / 20);
const random = new SeededRandom(20261125);
const limit = 240_000;

let dir: string;
/** Where the manifest begins, which no boot reads, and which only `saveoops inspect` would miss. */
let described: number;
let regions: Manifest['regions'];
const counts = new Map<string, number>();

beforeAll(async () => {
  dir = await payload({
    flavour: 'cloud-amd64',
    append: serialConsole,
    initrds: [await stateGuest()],
    name: 'damage',
  });
  ({ regions } = await readManifest(dir));
  described = Math.max(...regions.map((each) => each.offset + each.size));
}, limit);
afterAll(() => {
  for (const [what, count] of [...counts].sort()) console.log(`${count} ${what}`);
});

/** How the machine came up, in a word or two. Throws an Error with the evidence when it did not. */
async function bootWith(damage: (path: string) => Promise<void>): Promise<string> {
  const result = await bootPayload(dir, {
    endAt: [],
    timeout: 90,
    edit: async (folder) => {
      await damage(join(folder, 'saveoops.c32'));
      // The configuration that ships: what cannot be loaded ends at ONTIMEOUT.
      const config = await readFile(join(dir, 'syslinux.cfg'), 'utf8');
      await writeFile(join(folder, 'syslinux.cfg'), config);
    },
  });
  return check(result, () => {
    const { nodes, cmdline } = readState(guestBlock(result, 'state'));
    expect(result.end).toMatchObject({ kind: 'exit', code: 0 });
    const said = serialLines(result.serial).find((line) => line.startsWith('saveoops: '));
    const [node] = nodes;
    const armed = node?.reason === 0;
    // Not armed, a machine says so itself, unless the module could not be started at all.
    if (!armed && said === undefined) expect(cmdline).not.toContain('BOOT_IMAGE=saveoops.c32');
    return armed ? 'armed' : (/^saveoops: (E\d+)/.exec(said ?? '')?.[1] ?? 'plain entry, by Syslinux');
  });
}

function count(what: string): void {
  counts.set(what, (counts.get(what) ?? 0) + 1);
}

test(
  'cut off at every boundary of its regions',
  async () => {
    const ends = new Set(regions.flatMap((each) => [each.offset, each.offset + each.size]));
    ends.delete(described);
    for (const end of [...ends].sort((a, b) => a - b)) {
      const how = await bootWith((path) => truncate(path, end));
      count(`cut: ${how}`);
      expect([end, how]).not.toEqual([end, 'armed']);
    }
  },
  100 * limit,
);

test(
  `cut off at ${cuts} random places`,
  async () => {
    for (let i = 0; i < cuts; i++) {
      const end = random.below(described);
      const how = await bootWith((path) => truncate(path, end));
      count(`cut: ${how}`);
      expect([end, how]).not.toEqual([end, 'armed']);
    }
  },
  cuts * limit,
);

/** What the machine runs or relies on at a crash; a flip elsewhere may leave it armed. */
const matters = /^(module|primary|setup|vmlinux|entry-stub|crash-|initrd-)/;

describe(`a bit flipped at ${flips} random places`, () => {
  test(
    'of each region',
    async () => {
      for (const region of regions) {
        if (region.size === 0) continue;
        for (let i = 0; i < flips; i++) {
          const at = region.offset + random.below(region.size);
          const bit = 1 << random.below(8);
          const how = await bootWith(async (path) => {
            const file = await readFile(path);
            file.writeUInt8(file.readUInt8(at) ^ bit, at);
            await writeFile(path, file);
          });
          count(`flip in ${region.name}: ${how}`);
          if (matters.test(region.name)) expect([region.name, at, bit, how]).not.toContain('armed');
        }
      }
    },
    100 * limit,
  );
});
