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
    ['amd64', 128, 5, 'no free RAM below 4 GiB for the crash region'],
    ['amd64', 160, 6, 'no free RAM for the kernel beside the crash region'],
    // Room for both, but not for the primary to run in: armed it would be out of memory, plain it boots.
    ['amd64', 210, 6, 'no free RAM for the kernel beside the crash region'],
    // Just below the region that was given up, the plain kernel's decompressor moves itself.
    ['cloud-amd64', 176, 6, 'no free RAM for the kernel beside the crash region'],
  ] as const)(
    '%s with %d MiB boots unarmed and says why: E0%d',
    async (flavour, memory, reason, why) => {
      const name = flavour === 'amd64' ? 'state-amd64' : 'state-cloud';
      const dir = await payload({ flavour, initrds: [await stateGuest()], name });
      const result = await bootPayload(dir, { memory, endAt: [] });
      check(result, () => {
        const said = serialLines(result.serial).filter((each) => each.startsWith('saveoops:'));
        expect(said).toEqual([`saveoops: E0${reason} not armed: ${why}`]);
        const { nodes } = readState(guestBlock(result, 'state'));
        expect(nodes).toEqual([{ version: 1, reason, regionSize: 0 }]);
        expect(result.end).toMatchObject({ kind: 'exit', code: 0 });
      });
    },
    240_000,
  );
});
