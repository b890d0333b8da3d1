import { describe, expect, test } from '@jest/globals';
import { parseBtf } from '../formats/btf/parse-btf.js';
import { BtfWriter } from '../testkit/btf-writer.js';
import { unknownResources } from './resource-tree.js';

const members = ['start', 'end', 'name', 'flags', 'desc', 'parent', 'sibling', 'child'];

/** struct resource with these members, eight bytes each. */
function resource(names: readonly string[]): Parameters<typeof unknownResources>[0] {
  const writer = new BtfWriter();
  const word = writer.int('long unsigned int', 8);
  writer.struct(
    'resource',
    8 * names.length,
    names.map((name, index) => ({ name, type: word, bits: 64 * index })),
  );
  return { btf: parseBtf(writer.finish(), 'sample') };
}

describe('the resource tree', () => {
  test('is walked where struct resource is as the stub reads it', () => {
    expect(unknownResources(resource(members))).toEqual([]);
  });

  test.each([
    ['a member more in front', ['lock', ...members]],
    ['a member less', members.filter((name) => name !== 'sibling')],
    ['two members changed', [...members.slice(0, 6), 'child', 'sibling']],
  ])('is left alone with %s', (_, names) => {
    expect(unknownResources(resource(names))).toEqual(['iomem_resource']);
  });
});
