/** A panic of a system that came back from hibernation: docs/testing.md, "The real test", has the whole way. */
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { logEnds } from '../src/capture/markers.js';
import type { ScenarioResult } from '../src/machine/scenario.js';
import { bootPayload, captured, check, guestBlock, serialConsole } from './harness/boot.js';
import { guestInitramfs, printBlock } from './harness/guest.js';
import { modulesOf } from './harness/kernel-modules.js';
import { payload } from './harness/payloads.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'svo-'));
  writeFileSync(join(folder, 'swap.img'), '');
  truncateSync(join(folder, 'swap.img'), 512 << 20);
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

/** Goes on from the image on the disk, if there is one; else leaves one there. Dies once it is back. */
async function sleeper(): Promise<string> {
  const modules = ['virtio_pci', 'virtio_blk'].flatMap((name) => modulesOf('amd64', name));
  const text = printBlock('text', "grep ' _text$' /proc/kallsyms");
  return await guestInitramfs(
    `
for module in ${[...new Set(modules.map(({ path }) => path))].join(' ')}; do insmod /$module 2>/dev/null; done
echo "$(cat /sys/block/vda/dev)" >/sys/power/resume
${text}
mkswap /dev/vda >/dev/null && swapon /dev/vda
echo shutdown >/sys/power/disk
echo disk >/sys/power/state || { echo "guest: no hibernation"; poweroff -f; }
${printBlock('awake', "grep ' _text$' /proc/kallsyms")}
echo c >/proc/sysrq-trigger
`,
    modules,
  );
}

async function sleepAndWake(append: string): Promise<readonly [ScenarioResult, ScenarioResult]> {
  const dir = await payload({ flavour: 'amd64', initrds: [await sleeper()], name: 'hibernation' });
  const boot = (): Promise<ScenarioResult> =>
    bootPayload(dir, {
      extraAppend: `${serialConsole} ${append}`,
      extra: [
        ...['-drive', `if=none,id=swap,format=raw,cache=unsafe,file=${join(folder, 'swap.img')}`],
        ...['-device', 'virtio-blk-pci,drive=swap'],
      ],
      endAt: [new RegExp(logEnds), /end Kernel panic/, /guest: no hibernation/],
    });
  const asleep = await boot();
  check(asleep, () => {
    expect(asleep.end).toMatchObject({ kind: 'exit', code: 0 });
    expect(asleep.serial).not.toContain('guest: no hibernation');
  });
  const awake = await boot();
  // The same kernel at the same place: what panics is the system that went to sleep.
  check(awake, () => {
    expect(guestBlock(awake, 'awake')).toEqual(guestBlock(asleep, 'text'));
  });
  return [asleep, awake];
}

test('says that it is not captured and goes on, since the crash region is of another boot', async () => {
  const [, awake] = await sleepAndWake('');
  check(awake, () => {
    expect(awake.serial).toContain('saveoops: E33 not captured: resumed from disk');
    expect(awake.end).toMatchObject({ kind: 'line' });
    expect(awake.serial).toMatch(/end Kernel panic - not syncing: sysrq triggered crash/);
  });
}, 240_000);

test('is captured when the kernel lies where the boot that read the image has prepared for it', async () => {
  const [, awake] = await sleepAndWake('nokaslr');
  expect(captured(awake, 'sysrq triggered crash')).toContain('hibernation exit');
}, 240_000);
