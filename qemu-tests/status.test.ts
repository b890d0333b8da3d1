/** What the running system can learn of Saveoops: the setup_data node, and why a machine is not armed. */
import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { describe, expect, test } from '@jest/globals';
import type { SystemStatus } from '../src/commands/status.js';
import { readManifest } from '../src/image/payload-folder.js';
import { serialLines } from '../src/machine/serial-text.js';
import { few, thorough } from '../src/testkit/lanes.js';
import { bootPayload, check, guestBlock, serialConsole } from './harness/boot.js';
import { runSaveoops } from '../src/testkit/command-line.js';
import { guestInitramfs, printBlock } from './harness/guest.js';
import { payload } from './harness/payloads.js';
import { readState, stateGuest } from './state-guest.js';

describe('the status node', () => {
  test('of an armed system holds reason 0 and the size of the region', async () => {
    const dir = await payload({ flavour: 'cloud-amd64', initrds: [await stateGuest()], name: 'state-cloud' });
    const { memory } = await readManifest(dir);
    const result = await bootPayload(dir);
    check(result, () => {
      const state = readState(guestBlock(result, 'state'));
      expect(state.nodes).toEqual([{ version: 2, reason: 0, regionSize: memory.size }]);
      expect(state.reserved).toContain(memory.size);
      expect(serialLines(result.serial).filter((line) => line.startsWith('saveoops:'))).toEqual([]);
    });
  }, 240_000);

  thorough(
    'tells why a system is not armed: mem_encrypt=on',
    async () => {
      const dir = await payload({
        flavour: 'cloud-amd64',
        initrds: [await stateGuest()],
        name: 'state-cloud',
      });
      const { memory } = await readManifest(dir);
      const result = await bootPayload(dir, { extraAppend: `${serialConsole} mem_encrypt=on`, endAt: [] });
      check(result, () => {
        const state = readState(guestBlock(result, 'state'));
        expect(state.nodes).toEqual([{ version: 2, reason: 7, regionSize: 0 }]);
        expect(state.reserved).not.toContain(memory.size);
        expect(serialLines(result.serial)).toContain(
          'saveoops: E07 not armed: mem_encrypt=on is not supported',
        );
      });
    },
    240_000,
  );
});

describe('saveoops status, on what the running system shows in /sys', () => {
  const files = [
    '/sys/kernel/boot_params/setup_data/*/type',
    '/sys/kernel/boot_params/setup_data/*/data',
    '/sys/kernel/boot_params/version',
    '/sys/kernel/kexec_crash_loaded',
    '/sys/kernel/kexec_crash_size',
    '/proc/iomem',
  ];
  // Files of sysfs and proc have no true size: they are copied first.
  const copy = `
for file in ${files.join(' ')}; do
  [ -e $file ] || continue
  mkdir -p /tmp/copy\${file%/*}
  cat $file >/tmp/copy$file
done
tar c -C /tmp/copy . | gzip | base64`;

  test.each([
    { label: 'saveoops', append: '', exitCode: 0, says: /^saveoops: armed, \d+ MiB of RAM reserved$/m },
    {
      label: 'saveoops',
      append: ' mem_encrypt=on',
      exitCode: 1,
      says: /^saveoops: E07 not armed: mem_encrypt=on/,
    },
    { label: 'saveoops-plain', append: '', exitCode: 2, says: /^saveoops: not armed: .*not started by/ },
  ])(
    '$label$append',
    async ({ label, append, exitCode, says }) => {
      const guest = await guestInitramfs(`${printBlock('sys', copy)}poweroff -f\n`);
      const dir = await payload({ flavour: 'cloud-amd64', initrds: [guest], name: 'sys' });
      const result = await bootPayload(dir, { label, extraAppend: serialConsole + append, endAt: [] });
      const root = join(dirname(result.serialLog), 'root');
      mkdirSync(root, { recursive: true });
      const archive = gunzipSync(Buffer.from(guestBlock(result, 'sys').join(''), 'base64'));
      execFileSync('tar', ['x', '-C', root], { input: archive });
      const plain = runSaveoops(['status', '--root', root]);
      const motd = runSaveoops(['status', '--root', root, '--motd']);
      const json = runSaveoops(['status', '--root', root, '--json']);
      const { memory } = await readManifest(dir);
      check(result, () => {
        expect([plain.status, motd.status, json.status]).toEqual([exitCode, exitCode, exitCode]);
        expect(plain.stdout).toMatch(says);
        expect(plain.stdout).toContain('kdump: not set up');
        expect(motd.stdout).toBe(exitCode === 0 ? '' : `${plain.stdout.split('\n')[0] ?? ''}\n`);
        const { armed, regionSize, region } = JSON.parse(json.stdout) as SystemStatus;
        expect([armed, regionSize]).toEqual(exitCode === 0 ? [true, memory.size] : [false, 0]);
        const length = region && Number(region.end) + 1 - Number(region.start);
        expect(length).toBe(exitCode === 0 ? memory.size : undefined);
      });
    },
    240_000,
  );
});

describe('a machine with too little memory', () => {
  test.each(
    few(1, [
      ['amd64', 128, 5, 'no free RAM below 4 GiB for the crash region'],
      // Room for both, but not for the primary to run in: armed it would be out of memory, plain it boots.
      ['amd64', 210, 6, 'no free RAM for the kernel beside the crash region'],
      // Just below the region that was given up, the plain kernel's decompressor moves itself.
      ['cloud-amd64', 176, 6, 'no free RAM for the kernel beside the crash region'],
      ['amd64', 184, 6, 'no free RAM for the kernel beside the crash region'],
    ] as const),
  )(
    '%s with %d MiB boots unarmed and says why: E0%d',
    async (flavour, memory, reason, why) => {
      const name = flavour === 'amd64' ? 'state-amd64' : 'state-cloud';
      const dir = await payload({ flavour, initrds: [await stateGuest()], name });
      const result = await bootPayload(dir, { memory, endAt: [] });
      check(result, () => {
        const said = serialLines(result.serial).filter((each) => each.startsWith('saveoops:'));
        expect(said).toEqual([`saveoops: E0${reason} not armed: ${why}`]);
        const { nodes } = readState(guestBlock(result, 'state'));
        expect(nodes).toEqual([{ version: 2, reason, regionSize: 0 }]);
        expect(result.end).toMatchObject({ kind: 'exit', code: 0 });
      });
    },
    240_000,
  );
});
