/** What the running system can learn of Saveoops: the setup_data node, and why a machine is not armed. */
import { describe, expect, test } from '@jest/globals';
import { readManifest } from '../src/image/payload-folder.js';
import { serialLines } from '../src/machine/serial-text.js';
import { bootPayload, check, guestBlock, serialConsole } from './harness/boot.js';
import { payload } from './harness/payloads.js';
import { readState, stateGuest } from './state-guest.js';

describe('the status node', () => {
  test('of an armed system holds reason 0 and the size of the region', async () => {
    const dir = await payload({ flavour: 'cloud-amd64', initrds: [await stateGuest()], name: 'state-cloud' });
    const { memory } = await readManifest(dir);
    const result = await bootPayload(dir);
    check(result, () => {
      const state = readState(guestBlock(result, 'state'));
      expect(state.nodes).toEqual([{ version: 1, reason: 0, regionSize: memory.size }]);
      expect(state.reserved).toContain(memory.size);
      expect(serialLines(result.serial).filter((line) => line.startsWith('saveoops:'))).toEqual([]);
    });
  }, 240_000);

  test('tells why a system is not armed: mem_encrypt=on', async () => {
    const dir = await payload({ flavour: 'cloud-amd64', initrds: [await stateGuest()], name: 'state-cloud' });
    const { memory } = await readManifest(dir);
    const result = await bootPayload(dir, { extraAppend: `${serialConsole} mem_encrypt=on`, endAt: [] });
    check(result, () => {
      const state = readState(guestBlock(result, 'state'));
      expect(state.nodes).toEqual([{ version: 1, reason: 7, regionSize: 0 }]);
      expect(state.reserved).not.toContain(memory.size);
      expect(serialLines(result.serial)).toContain(
        'saveoops: E07 not armed: mem_encrypt=on is not supported',
      );
    });
  }, 240_000);
});

describe('a machine with too little memory', () => {
  test.each([
    [160, /^saveoops: E0[56] not armed: no free RAM /],
    [200, /^saveoops: E0[56] not armed: no free RAM /],
  ])(
    'of %d MiB boots unarmed and says why',
    async (memory, line) => {
      const dir = await payload({ flavour: 'amd64', initrds: [await stateGuest()], name: 'state-amd64' });
      const result = await bootPayload(dir, { memory, endAt: [] });
      check(result, () => {
        const [said] = serialLines(result.serial).filter((each) => each.startsWith('saveoops:'));
        expect(said).toMatch(line);
        const reason = Number(/E(\d+)/.exec(said ?? '')?.[1]);
        const state = readState(guestBlock(result, 'state'));
        expect(state.nodes).toEqual([{ version: 1, reason, regionSize: 0 }]);
        expect(result.end).toMatchObject({ kind: 'exit', code: 0 });
      });
    },
    240_000,
  );
});
