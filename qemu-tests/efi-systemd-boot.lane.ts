/**
 * Installed machines with systemd-boot: kernel-install's own entries or unified kernel images, armed by our plugin of it, on a real
 * ESP, by systemd-boot and systemd-stub of each Debian release in OVMF. Part of `npm run test:efi`.
 */
import { basename, dirname, join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { withTemporaryFolder } from '../src/host/files.js';
import { logEnds } from '../src/capture-initramfs/markers.js';
import { serialLines } from '../src/machine/serial-text.js';
import { said } from './efi-lane.js';
import { bootFrom, check, guestBlock, serialConsole } from './harness/boot.js';
import { host, mtoolsNames } from './harness/disks.js';
import { blockEnds, guestInitramfs, printBlock } from './harness/guest.js';
import { filesBelow, installKernels, machineId } from './harness/installed-esp.js';
import { systemdBootFile, type Release } from './harness/loaders.js';
import { startedFile } from './harness/make-esp.js';
import { makeDisk, virtioDisk } from './harness/partitions.js';
import { stockKernel } from './harness/payloads.js';

const { vmlinuz } = stockKernel('cloud-amd64');
const version = basename(vmlinuz).slice('vmlinuz-'.length);
const start = 2048;
const armedName = `${machineId}-${version}_999-saveoops`;
const fallback = `${machineId}-saveoops-fallback`;

/** Armed it panics, else it tells and restarts. */
const script = `
# By UEFI there are nodes of the kernel's own, too.
if grep -q 0x53415645 /sys/kernel/boot_params/setup_data/*/type; then
  echo "guest: armed"
  echo c >/proc/sysrq-trigger
fi
${printBlock('cmdline', 'cat /proc/cmdline')}
reboot -f
`;

describe.each<[Release, 'bls' | 'uki']>([
  ['bookworm', 'bls'],
  ['trixie', 'bls'],
  ['sid', 'bls'],
])('systemd-boot of %s, kernel-install with layout=%s', (release, layout) => {
  test('starts the armed entry first, the fallback once after two captures, and then the armed one again', async () => {
    await withTemporaryFolder(async (root) => {
      const { esp, said: printed } = await installKernels({
        root,
        kernels: [{ version, vmlinuz, initrd: await guestInitramfs(script) }],
        cmdline: serialConsole,
        layout,
        stub: release,
        tries: 9,
        config: [
          ...['loader: systemd-boot', 'save: boot', 'max-captures-in-a-row: 2'],
          ...['crash-append: saveoops.hold=0', `modules: ${dirname(dirname(vmlinuz))}`, ''],
        ].join('\n'),
      });
      expect(printed).toContain(`saveoops: ${version}: armed`);
      const disk = join(root, 'disk.img');
      const loader = { path: startedFile, source: systemdBootFile(release) };
      const files = [...(await filesBelow(esp)), loader];
      await makeDisk(disk, ['label: gpt'], [{ start, words: 'type=uefi', files }]);
      const run = await bootFrom(
        { kind: 'disk', image: disk, writable: true, device: virtioDisk('disk', 0) },
        {
          firmware: 'uefi',
          // The harness' default is that a reset ends the run.
          extra: ['-action', 'reboot=reset'],
          timeout: 900,
          endAt: [],
          meanwhile: async (machine, qmp) => {
            const timeoutMs = 900_000;
            const plain = await machine.waitForLine([new RegExp(blockEnds('cmdline'))], { timeoutMs });
            if (plain.kind !== 'line') return;
            const logged = await machine.waitForLine([new RegExp(logEnds)], {
              timeoutMs,
              from: plain.index,
            });
            if (logged.kind !== 'line') return;
            await machine.waitForLine([/^saveoops: reboot in/], { timeoutMs, from: logged.index });
            await (await qmp()).execute('quit');
          },
        },
      );
      check(run, () => {
        const events = serialLines(run.serial).flatMap(
          (line) =>
            /guest: (armed|cmdline begins)|saveoops: (\d+ captures in a row.*)/
              .exec(line)
              ?.slice(1)
              .join('') ?? [],
        );
        expect(events).toEqual([
          ...['armed', 'armed', `2 captures in a row: the next boot is "${fallback}", once`],
          ...['cmdline begins', 'armed'],
        ]);
        expect(said(run)).toEqual([]);
        expect(guestBlock(run, 'cmdline').join(' ')).toMatch(
          new RegExp(
            ` systemd\\.mask=systemd-bless-boot\\.service saveoops\\.fallback=\\d+T\\d+Z-${version}-`,
          ),
        );
        const drive = `${disk}@@${start * 512}`;
        const names = (folder: string): readonly string[] =>
          mtoolsNames(drive, folder).filter((name) => name !== '');
        expect(names('loader/entries')).toEqual(
          expect.arrayContaining([`${armedName}+6-3.conf`, `${fallback}+0-1.conf`]),
        );
        const plain = `${machineId}-${version}+9`;
        if (layout === 'bls') expect(names('loader/entries')).toContain(`${plain}.conf`);
        else expect(names('EFI/Linux')).toContain(`${plain}.efi`);
        expect(host('mtype', ['-i', drive, '::/saveoops/in-a-row'])).toBe('1\n');
      });
    });
  }, 1_000_000);
});
