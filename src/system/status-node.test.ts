import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from '@jest/globals';
import { SaveoopsError } from '../errors.js';
import { parseStatusNode, unarmedReasons } from './status-node.js';

const root = fileURLToPath(new URL('../../..', import.meta.url));

describe('reasons', () => {
  test('are those of the entry stub, by number', () => {
    const source = readFileSync(join(root, 'stubs/entry/messages.h'), 'utf8');
    const numbers = [...(/enum reason \{([^}]*)\}/.exec(source)?.[1] ?? '').matchAll(/= (\d+),/g)]
      .map(([, number]) => Number(number))
      .filter((number) => number !== 0);
    expect(numbers.length).toBeGreaterThan(5);
    expect([...unarmedReasons.keys()]).toEqual(numbers);
  });

  test('are in docs/messages.md, as messages of the entry stub', () => {
    const text = readFileSync(join(root, 'docs/messages.md'), 'utf8');
    const [, entryStub = ''] = /^## Entry stub[^]*?\n([^]*?)\n## /m.exec(text) ?? [];
    const rows = [...entryStub.matchAll(/^### E(\d+)$/gm)].map(([, number]) => Number(number));
    expect([...unarmedReasons.keys()]).toEqual(rows);
  });
});

describe('parseStatusNode', () => {
  const node = (version: number, reason: number, regionSize: bigint): Buffer => {
    const bytes = Buffer.alloc(24);
    bytes.writeUInt32LE(version, 0);
    bytes.writeUInt32LE(reason, 4);
    bytes.writeBigUInt64LE(regionSize, 8);
    bytes.writeUInt32LE(60, 16);
    return bytes;
  };
  const kindOf = (bytes: Uint8Array): string | undefined => {
    try {
      parseStatusNode(bytes, 'data');
      return undefined;
    } catch (error) {
      return error instanceof SaveoopsError ? error.kind : String(error);
    }
  };

  test('takes version 2', () => {
    expect(parseStatusNode(node(2, 0, 128n << 20n), 'data')).toEqual({
      reason: 0,
      regionSize: 128 << 20,
      bootWatchdog: 60,
    });
  });

  test('refuses another version and a node cut short at every byte', () => {
    expect(kindOf(node(1, 0, 0n))).toBe('unsupported');
    for (let length = 0; length < 24; length++) {
      expect(kindOf(node(2, 0, 0n).subarray(0, length))).toBe('truncated');
    }
  });
});
