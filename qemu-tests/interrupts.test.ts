/**
 * Interrupt hardware as the crash kernel finds it: the same after a capture by Saveoops as after one by kdump, of the same
 * system. QEMU tells what is in the controllers when the crash kernel enters start_kernel. One thing is meant to differ: LINT1 of
 * the CPU that starts it, by which NMIs come, is masked.
 */
import { expect, test } from '@jest/globals';
import { runTo } from '../src/machine/kernel-debugger.js';
import type { ScenarioResult } from '../src/machine/scenario.js';
import { bootPayload, check, serialConsole } from './harness/boot.js';
import { guestInitramfs } from './harness/guest.js';
import { stockKernel } from './harness/payloads.js';
import { meeting, monitor } from './handover.js';
import { injectorFor } from './inject.js';
import { vmcorePayload } from './vmcore-guests.js';

const flavour = 'cloud-amd64';
const limit = 420_000;
/** Milliseconds. */
const arrival = 200_000;
const cpus = 2;

/** A guest that loads a kdump kernel when its command line says so, and then panics. */
async function eitherPayload(): Promise<string> {
  const second = await guestInitramfs('poweroff -f\n');
  return await vmcorePayload(
    flavour,
    `
case $(cat /proc/cmdline) in *guest.kdump*)
  kexec -c -p /vmlinuz --initrd=/second.img --command-line="nokaslr nr_cpus=1 irqpoll reset_devices console=ttyS0"
  echo "guest: kdump kernel loaded: $(cat /sys/kernel/kexec_crash_loaded)" ;;
esac`,
    [
      { path: 'bin/kexec', source: '/usr/sbin/kexec' },
      { path: 'vmlinuz', source: stockKernel(flavour).vmlinuz },
      { path: 'second.img', source: second },
    ],
  );
}

interface Seen {
  readonly run: ScenarioResult;
  /** What QEMU says of each controller. */
  readonly hardware: Readonly<Record<string, string>>;
}

/** Both kernels run where they were linked, so both pass by the same address: the crash kernel is the second. */
async function atStartOfCrashKernel(dir: string, option: string): Promise<Seen> {
  const startKernel = (await injectorFor(dir)).addressOf('start_kernel');
  const there = meeting<undefined>();
  const looked = meeting<undefined>();
  let hardware: Record<string, string> = {};
  const run = await bootPayload(dir, {
    cpus,
    extraAppend: `${serialConsole} nokaslr crashkernel=160M guest.cpu=1 ${option}`,
    endAt: [/---\[ end Kernel panic/, /^saveoops: E/],
    debug: async (gdb) => {
      const deadline = Date.now() + arrival;
      await gdb.setBreakpoint(startKernel);
      const first = await runTo(gdb, startKernel, deadline, 'start_kernel of the primary');
      await gdb.stepFrom(startKernel, first);
      await runTo(gdb, startKernel, deadline, 'start_kernel of the crash kernel');
      there.come(undefined);
      await looked.here;
    },
    meanwhile: async (_, connect) => {
      await there.here;
      const qmp = await connect();
      const hpetEnabled = 'xp /1wx 0xfed00010';
      hardware = {
        pic: settled(await monitor(qmp, 'info pic')),
        hpet: await monitor(qmp, hpetEnabled),
        lapic0: settled(await monitor(qmp, 'info lapic', 0)),
        lapic1: settled(await monitor(qmp, 'info lapic', 1)),
      };
      looked.come(undefined);
      await qmp.quit();
    },
  });
  return { run, hardware };
}

/**
 * Without what depends on the moment: counters, what is pending, the last interrupt sent, and what was in service: the
 * NMI that stops the other CPU may find it in a handler.
 */
function settled(text: string): string {
  return text
    .split(/\r?\n/)
    .filter((line) => !/^(Timer|ICR2?|IRR|ISR|PPR)\t/.test(line))
    .map((line) => line.replace(/ irr=[0-9a-f]+/, '').replace(/^( +IRR +).*/, '$1'))
    .join('\n');
}

function withoutLint1(text: string): string {
  return text.replace(/^LVT1\t.*$/m, '');
}

test(
  'after Saveoops as after kdump',
  async () => {
    const dir = await eitherPayload();
    const kdump = await atStartOfCrashKernel(dir, 'guest.kdump');
    const ours = await atStartOfCrashKernel(dir, '');
    check(kdump.run, () => {
      expect(kdump.run.serial).toContain('guest: kdump kernel loaded: 1');
      expect(kdump.run.serial).not.toContain('saveoops: ');
    });
    check(ours.run, () => {
      expect(ours.run.serial).toContain('saveoops: kernel panic: starting the crash kernel');
      expect(ours.hardware['pic']).toContain('pin 23');
      // The panic is on CPU 1, which goes on.
      const { lapic1 = '', ...others } = ours.hardware;
      expect(lapic1).toMatch(/^LVT1\t .* masked .*NMI/m);
      expect({ ...others, lapic1: withoutLint1(lapic1) }).toEqual({
        ...kdump.hardware,
        lapic1: withoutLint1(kdump.hardware['lapic1'] ?? ''),
      });
    });
  },
  limit,
);
