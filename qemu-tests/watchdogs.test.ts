/**
 * Hardware watchdogs that the primary armed: they must not end a capture, and must end one that is past its time. Both of
 * QEMU's in one machine, and its event tells when one of them would have reset it.
 */
import { writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { expect, test } from '@jest/globals';
import { buildCaptureInitramfs } from '../src/capture-initramfs/build-initramfs.js';
import { writeCpioArchive } from '../src/capture-initramfs/cpio-archive.js';
import { deadlineFile } from '../src/capture-initramfs/constants.js';
import { findModules } from '../src/capture-initramfs/module-tree.js';
import type { ScenarioResult } from '../src/machine/scenario.js';
import { serialLines } from '../src/machine/serial-text.js';
import { thorough } from '../src/testkit/lanes.js';
import { bootPayload, captured, check } from './harness/boot.js';
import { cache, digestOf, makeOnce } from './harness/folders.js';
import { guestHead, guestInitramfs } from './harness/guest.js';
import { modulesOf } from './harness/kernel-modules.js';
import { payload, stockKernel } from './harness/payloads.js';
import { withEvents } from './harness/shutdown-events.js';

const limit = 300_000;
const panic = 'Kernel panic - not syncing: sysrq triggered crash';
/** Seconds after which both would reset the machine. The iTCO counts twice before it does. */
const timeout = 30;
/** Seconds from the last feeding in the crash kernel to the later of the resets: its drivers begin with 30, that twice. */
const patience = 60;

/** Arms both watchdogs and panics; nobody feeds them from then on. */
async function armingGuest(): Promise<string> {
  const modules = ['i6300esb', 'lpc_ich', 'iTCO_wdt'].flatMap((name) => modulesOf('amd64', name));
  const paths = [...new Set(modules.map(({ path }) => path))];
  const script = `
for module in ${paths.join(' ')}; do insmod /$module; done
for number in 0 1; do
  identity=$(cat /sys/class/watchdog/watchdog$number/identity)
  case $identity in
    iTCO*) watchdog -T ${timeout / 2} -t 1 /dev/watchdog$number ;;
    *) watchdog -T ${timeout} -t 1 /dev/watchdog$number ;;
  esac
  echo "guest: armed $identity"
done
sleep 2
for number in 0 1; do echo "guest: $(cat /sys/class/watchdog/watchdog$number/state)"; done
echo c >/proc/sysrq-trigger
`;
  return await guestInitramfs(script, modules);
}

/** The built-in capture initramfs, with another init: one whose time is over while it still runs. */
async function overdueCapture(seconds: number): Promise<string> {
  const init = `${guestHead}
mkdir -p /run/capture
: >/run/capture/notes
read -r now rest </proc/uptime
echo $((\${now%.*} + 3)) >${deadlineFile}
feed-watchdog
cat /run/capture/notes
sleep ${seconds}
poweroff -f
`;
  const { vmlinuz } = stockKernel('amd64');
  const release = basename(vmlinuz).slice('vmlinuz-'.length);
  const tree = await findModules(release, vmlinuz, undefined);
  if (tree === undefined) throw new Error(`no modules of ${release}`);
  const base = await buildCaptureInitramfs({ modules: { tree, release, extra: [] } });
  const key = digestOf(init, base.bytes);
  return await makeOnce(join(cache, 'guests', `overdue-${key}.cpio.gz`), async (out) => {
    const overlay = await writeCpioArchive([
      { path: 'init', mode: 0o755, kind: 'file', bytes: Buffer.from(init) },
    ]);
    // The kernel unpacks archives one after the other; of two files of one name the later stays.
    await writeFile(out, Buffer.concat([base.bytes, gzipSync(overlay)]));
  });
}

async function crash(dir: string): Promise<{ run: ScenarioResult; bites: number }> {
  const { result, events } = await withEvents((extra) =>
    bootPayload(dir, {
      memory: 512,
      endAt: [],
      timeout: 240,
      extra: [
        ...['-device', 'i6300esb', '-global', 'ICH9-LPC.noreboot=false', '-action', 'watchdog=none'],
        ...extra,
      ],
    }),
  );
  check(result, () => {
    const lines = serialLines(result.serial);
    expect(lines.filter((line) => line.startsWith('guest: armed')).sort()).toEqual([
      'guest: armed i6300ESB timer',
      'guest: armed iTCO_wdt',
    ]);
    expect(lines.filter((line) => line === 'guest: active').length).toBe(2);
  });
  return { run: result, bites: events.filter(({ event }) => event === 'WATCHDOG').length };
}

test(
  'a capture that takes longer than their timeout is not disturbed',
  async () => {
    const dir = await payload({
      flavour: 'amd64',
      initrds: [await armingGuest()],
      crashAppend: `saveoops.hold=${timeout + 5}`,
      name: 'watchdogs',
    });
    const { run, bites } = await crash(dir);
    captured(run, panic);
    check(run, () => {
      expect(serialLines(run.serial)).toContain(`saveoops: reboot in ${timeout + 5} seconds`);
      expect(run.end).toMatchObject({ kind: 'exit', code: 0 });
      expect(bites).toBe(0);
    });
  },
  limit,
);

thorough(
  'a capture that is past its time is ended by them',
  async () => {
    const dir = await payload({
      flavour: 'amd64',
      initrds: [await armingGuest()],
      crashInitrd: await overdueCapture(patience + 5),
      name: 'overdue',
    });
    const { run, bites } = await crash(dir);
    check(run, () => {
      const fed = serialLines(run.serial).flatMap((line) => /feeding .*: (.*)/.exec(line)?.[1] ?? []);
      expect(fed.sort()).toEqual(['i6300ESB timer', 'iTCO_wdt']);
      expect(bites).toBe(2);
    });
  },
  limit,
);
