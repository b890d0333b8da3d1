import { describe, expect, test } from '@jest/globals';
import type { Manifest } from '../payload/manifest.js';
import { sampleManifest } from '../testkit/sample-manifest.js';
import { renderSvgMap } from './svg-map.js';

const MiB = 1 << 20;
const region = (name: string, offset: number, size: number): Manifest['regions'][number] => ({
  ...{ name, offset, size },
  purpose: `what ${name} is <for>`,
  sha256: '0'.repeat(64),
});
const manifest: Manifest = {
  ...sampleManifest,
  memory: {
    ...sampleManifest.memory,
    size: 128 * MiB,
    parts: [
      { what: 'stub', bytes: 4 * MiB },
      { what: 'capture initramfs as stored', bytes: 12 * MiB },
      { what: 'room', bytes: 112 * MiB },
    ],
  },
  regions: [region('module', 0, MiB), region('primary', 2 * MiB, 30 * MiB)],
};

/** Each block that is drawn, by what its title says. */
function blocks(svg: string): readonly { name: string; y: number; height: number }[] {
  return [...svg.matchAll(/<rect [^>]*y="([\d.]+)"[^>]*height="([\d.]+)" fill="#\w+"><title>([^,<]*)/g)].map(
    ([, y, height, name = '']) => ({ name, y: Number(y), height: Number(height) }),
  );
}

describe('the picture', () => {
  const svg = renderSvgMap(manifest);
  const drawn = blocks(svg);
  const find = (name: string) =>
    drawn.find((block) => block.name.startsWith(name)) ?? { y: NaN, height: NaN };

  test('has every part and every region, in the order of addresses', () => {
    expect(drawn.map(({ name }) => name)).toEqual([
      ...['stub', 'room', 'capture initramfs as stored'],
      ...['module: what module is &lt;for&gt;', 'primary: what primary is &lt;for&gt;'],
    ]);
  });

  test('is to one scale', () => {
    const perMiB = find('room').height / 112;
    expect(find('primary').height / 30).toBeCloseTo(perMiB, 1);
    expect(find('stub').height / 4).toBeCloseTo(perMiB, 1);
    // The gap between two regions is there.
    expect((find('primary').y - find('module').y) / 2).toBeCloseTo(perMiB, 1);
  });

  test('has no label over another', () => {
    for (const x of ['215', '775']) {
      const lines = [...svg.matchAll(/<text x="(\d+)" y="([\d.]+)">/g)].flatMap(([, at, y]) =>
        at === x ? [Number(y)] : [],
      );
      expect(lines.length).toBeGreaterThan(1);
      lines.slice(1).forEach((y, index) => {
        expect(y - (lines[index] ?? 0)).toBeGreaterThanOrEqual(16.9);
      });
    }
  });
});
