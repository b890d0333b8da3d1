/** Every way out of a running system is the same armed as plain, and a kdump kernel of userspace goes first. */
import { describe, expect, test } from '@jest/globals';
import { logBegins, logEnds } from '../src/capture-initramfs/markers.js';
import { few } from '../src/testkit/lanes.js';
import { bootPayload, check, guestBlock } from './harness/boot.js';
import { guestInitramfs, printBlock } from './harness/guest.js';
import { payload, stockKernel, type Flavour } from './harness/payloads.js';
import { withShutdownReasons } from './harness/shutdown-events.js';

const minutes = 60_000;
const secondSystem = 'guest: the second kernel is up';
const kexec = { path: 'bin/kexec', source: '/usr/sbin/kexec' };
const second = 'console=ttyS0,115200 guest.second';

/**
 * A guest that leaves as `guest.leave=` on its command line says. kexec gets the kernel that runs and an initramfs of
 * its own, which says that it is up.
 */
async function leavingGuest(flavour: Flavour): Promise<string> {
  const own = await guestInitramfs(`
${printBlock('second system', 'cat /proc/cmdline\nls -l /proc/vmcore 2>/dev/null')}
echo "${secondSystem}"
poweroff -f
`);
  return await guestInitramfs(
    `
${printBlock('status', 'cat /sys/kernel/kexec_crash_size')}${printBlock('setup_data', 'cat /sys/kernel/boot_params/setup_data/*/type 2>/dev/null')}
case $(cat /proc/cmdline) in
  *guest.leave=reboot*) exec reboot -f ;;
  *guest.leave=poweroff*) exec poweroff -f ;;
  *guest.leave=kexec*)
    kexec -s -l /vmlinuz --initrd=/second.img --command-line="${second}" && exec kexec -e
    ;;
  *guest.leave=kdump*)
    kexec -c -p /vmlinuz --initrd=/second.img --command-line="${second} nr_cpus=1 irqpoll reset_devices" &&
      echo "guest: kdump kernel loaded: $(cat /sys/kernel/kexec_crash_loaded)" &&
      exec sh -c 'echo c >/proc/sysrq-trigger'
    ;;
esac
echo "guest: could not leave"
poweroff -f
`,
    [kexec, { path: 'vmlinuz', source: stockKernel(flavour).vmlinuz }, { path: 'second.img', source: own }],
  );
}

async function leavingPayload(flavour: Flavour): Promise<string> {
  const initrds = [await leavingGuest(flavour)];
  return await payload({ flavour, initrds, append: 'sysrq_always_enabled', name: `leaving-${flavour}` });
}

/** Type of the setup_data node by which the running system sees that it is armed. */
const armedType = '0x53415645';

const labels = ['saveoops', 'saveoops-plain'] as const;

describe.each(few(1, labels))('a system booted by %s', (label) => {
  test.each(
    few(1, [
      { way: 'reboot', reason: 'guest-reset', says: 'reboot: Restarting system' },
      { way: 'poweroff', reason: 'guest-shutdown', says: 'reboot: Power down' },
    ]),
  )(
    'leaves by $way',
    async ({ way, reason, says }) => {
      const dir = await leavingPayload('amd64');
      const { result, reasons } = await withShutdownReasons((extra) =>
        bootPayload(dir, { label, extra, extraAppend: `console=ttyS0,115200 guest.leave=${way}` }),
      );
      check(result, () => {
        expect(guestBlock(result, 'setup_data')).toEqual(label === 'saveoops' ? [armedType] : []);
        expect(result.end).toMatchObject({ kind: 'exit', code: 0 });
        expect(reasons).toEqual([reason]);
        expect(result.serial).toContain(says);
        expect(result.serial).not.toContain('Kernel panic');
      });
    },
    4 * minutes,
  );

  test(
    'leaves by kexec -e',
    async () => {
      const dir = await leavingPayload('cloud-amd64');
      const run = await bootPayload(dir, {
        label,
        extraAppend: 'console=ttyS0,115200 guest.leave=kexec',
        endAt: [new RegExp(secondSystem), /guest: could not leave/, /Kernel panic/],
      });
      expect(guestBlock(run, 'second system')).toEqual([second]);
      check(run, () => {
        expect(guestBlock(run, 'setup_data')).toEqual(label === 'saveoops' ? [armedType] : []);
        expect(run.end).toEqual({ kind: 'line', line: secondSystem });
      });
    },
    4 * minutes,
  );
});

test.each(few<Flavour>(1, ['amd64', 'cloud-amd64']))(
  'a kdump kernel that userspace loaded is the one that runs (%s)',
  async (flavour) => {
    const dir = await leavingPayload(flavour);
    const run = await bootPayload(dir, {
      extraAppend: 'console=ttyS0,115200 crashkernel=160M guest.leave=kdump',
      endAt: [new RegExp(secondSystem), /guest: could not leave/, new RegExp(logEnds), /end Kernel panic/],
    });
    const told = guestBlock(run, 'second system');
    check(run, () => {
      expect(guestBlock(run, 'setup_data')).toEqual([armedType]);
      expect(guestBlock(run, 'status')).toEqual([String(160 << 20)]);
      expect(run.serial).toContain('guest: kdump kernel loaded: 1');
      expect(run.end).toEqual({ kind: 'line', line: secondSystem });
      expect(told[0]).toContain('elfcorehdr=');
      expect(told[1]).toContain('/proc/vmcore');
      expect(run.serial).not.toContain(logBegins);
      expect(run.serial).not.toContain('saveoops: ');
    });
  },
  4 * minutes,
);
