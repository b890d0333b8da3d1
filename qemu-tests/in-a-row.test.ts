/** A kernel that panics at every boot: after some captures the machine comes up on another entry, by itself, and says why. */
import { execFileSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { expect, test } from '@jest/globals';
import { readManifest } from '../src/image/payload-folder.js';
import { logEnds } from '../src/capture-initramfs/markers.js';
import { serialLines } from '../src/machine/serial-text.js';
import { runSaveoops } from '../src/testkit/command-line.js';
import { bootPayload, check, guestBlock, serialConsole } from './harness/boot.js';
import { bootFat, captureFacts, damagedFiles } from './harness/boot-fat.js';
import { host } from './harness/disks.js';
import { blockEnds, guestInitramfs, printBlock } from './harness/guest.js';
import { payload } from './harness/payloads.js';

/** What a status command on that machine would read. */
const copy = `
mkdir -p /tmp/copy/proc /tmp/copy/sys/kernel/boot_params
cat /proc/cmdline >/tmp/copy/proc/cmdline
cat /sys/kernel/boot_params/version >/tmp/copy/sys/kernel/boot_params/version
tar c -C /tmp/copy . | gzip | base64`;

/** Armed it panics, else it tells and restarts. */
const script = `
if [ -e /sys/kernel/boot_params/setup_data ]; then
  echo "guest: armed"
  echo c >/proc/sysrq-trigger
fi
${printBlock('system', copy)}
reboot -f
`;

test('after two captures in a row the plain entry boots once, tells why, and the armed one is next', async () => {
  const dir = await payload({
    flavour: 'amd64',
    initrds: [await guestInitramfs(script)],
    crashAppend: 'saveoops.hold=0',
    maxCapturesInARow: 2,
    name: 'in-a-row',
  });
  const { primary } = await readManifest(dir);
  const run = await bootPayload(dir, {
    extraAppend: `${serialConsole} saveoops.save=boot`,
    writable: true,
    // The harness' default is that a reset ends the run.
    extra: ['-action', 'reboot=reset'],
    timeout: 300,
    endAt: [],
    meanwhile: async (machine, qmp) => {
      const timeoutMs = 300_000;
      const plain = await machine.waitForLine([new RegExp(blockEnds('system'))], { timeoutMs });
      if (plain.kind !== 'line') return;
      const logged = await machine.waitForLine([new RegExp(logEnds)], { timeoutMs, from: plain.index });
      if (logged.kind !== 'line') return;
      await machine.waitForLine([/^saveoops: reboot in/], { timeoutMs, from: logged.index });
      await (await qmp()).execute('quit');
    },
  });
  check(run, () => {
    const root = join(dirname(run.serialLog), 'root');
    const fat = bootFat(run, join(root, 'boot'));
    const captures = captureFacts(fat);
    expect(captures.map(({ inARow }) => inARow)).toEqual([1, 2, 1]);
    // No capture destroys another: each holds what it says.
    expect(damagedFiles(fat, captures)).toEqual([]);
    expect(host('cat', [fat.file('saveoops/in-a-row')])).toBe('1\n');
    const events = serialLines(run.serial).flatMap(
      (line) =>
        /guest: (armed|system begins)|saveoops: (\d+ captures in a row.*)/.exec(line)?.slice(1).join('') ??
        [],
    );
    expect(events).toEqual([
      ...['armed', 'armed', '2 captures in a row: the next boot is "saveoops-plain", once'],
      ...['system begins', 'armed'],
    ]);
    execFileSync('tar', ['x', '-C', root], {
      input: gunzipSync(Buffer.from(guestBlock(run, 'system').join(''), 'base64')),
    });
    const cmdline = host('cat', [join(root, 'proc/cmdline')]).trim();
    expect(cmdline).toMatch(new RegExp(`^BOOT_IMAGE=${primary.kernelFile} `));
    expect(cmdline).toMatch(new RegExp(` saveoops.fallback=${captures[1]?.name ?? ''}( |$)`));
    const motd = runSaveoops(['status', '--motd', '--root', root]);
    expect(motd.stdout).toBe(
      `saveoops: Linux ${primary.release} panicked 2 times in a row, so this entry was started instead, once\n` +
        '  Kernel panic - not syncing: sysrq triggered crash\n' +
        `  the last capture: ${join(root, 'boot/saveoops', captures[1]?.name ?? '')}\n`,
    );
  });
}, 360_000);
