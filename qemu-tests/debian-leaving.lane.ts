/**
 * The real test, everything that is no panic: `npm run test:debian`, not part of `npm test`. A Debian 13 with the package
 * saveoops installed leaves its running system in each way that there is, booted by the armed entry and by the plain one of the
 * same menu, and what it and the machine tell of it is the same.
 */
import { beforeEach, describe, expect, test } from '@jest/globals';
import { armed, crash, powerOff, reboot, settled } from './debian/orders.js';
import { freshSystemForEachTest } from './debian/fresh-system.js';
import { block, type DebianBoot } from './debian/system.js';
import { recoveredLog } from '../src/machine/recovered-log.js';
import { printBlock } from './harness/guest.js';

const minutes = 60_000;
const entries = ['plain', 'armed'] as const;
const system = freshSystemForEachTest();

/** The block "armed" of a system that such an entry has started. */
const node = { armed: ['0'], plain: [] } as const;

/** Node takes up to a minute here to say that the boot was good, and messages on two consoles take their time, too. */
const quick =
  'systemd.mask=saveoops-booted.service loglevel=4 systemd.show_status=0 systemd.log_target=journal';

/** What went wrong in this boot, by systemd and the kernel. */
const health = printBlock(
  'health',
  `systemctl --failed --no-legend --plain
dmesg -t | grep -E 'EXT4-fs.*(error|recovery complete|orphan)|Kernel panic|BUG:|Oops'`,
);
/** What the kernel's log says of sleeping, without times. */
const sleepLog = printBlock(
  'sleep',
  "dmesg -t | sed -n '/ entry/,$p' | grep -E '(suspend|hibernation) (entry|exit)|sleep state|Creating image|^CPU1 is up'",
);

/**
 * Where the ACPI registers are: PMBASE and ACPI_CNTL (ICH9 datasheet, 13.1.13). QEMU 7.2 with SeaBIOS 1.16 forgets them in S3, whatever
 * runs: power off no longer works, and a kernel with irqpoll, as crash kernels are, drowns in ACPI events. So the test does what
 * a machine's firmware does.
 */
const isaBridge = '/sys/bus/pci/devices/0000:00:1f.0/config';

describe.each(entries)('a system booted by the %s entry', (entry) => {
  beforeEach(() => {
    system().setDefault(entry, quick);
    system().quietLogin();
  });

  test(
    'restarts and switches off',
    async () => {
      const first = await system().boot({ orders: settled + armed() + reboot });
      expect(first.reasons).toEqual(['guest-reset']);
      expect(block(first, 'armed')).toEqual(node[entry]);
      const second = await system().boot({ orders: settled + armed() + health + powerOff });
      expect(second.reasons).toEqual(['guest-shutdown']);
      expect(block(second, 'armed')).toEqual(node[entry]);
      expect(block(second, 'health')).toEqual([]);
    },
    30 * minutes,
  );

  const wakes: DebianBoot['meanwhile'] = async (_, qmp) => {
    const client = await qmp();
    await client.event('SUSPEND');
    await client.execute('system_wakeup');
  };

  test(
    'sleeps in S3 and wakes up',
    async () => {
      const run = await system().boot({
        cpus: 2,
        orders: [
          settled,
          armed(),
          printBlock('kind', 'cat /sys/power/mem_sleep'),
          `dd if=${isaBridge} of=/run/pm bs=1 skip=64 count=8 status=none\n`,
          'systemctl start systemd-suspend.service\n',
          `dd if=/run/pm of=${isaBridge} bs=1 seek=64 conv=notrunc status=none\n`,
          sleepLog,
          health,
          entry === 'armed' ? crash : powerOff,
        ].join(''),
        meanwhile: wakes,
      });
      expect(block(run, 'armed')).toEqual(node[entry]);
      expect(block(run, 'kind')).toEqual(['s2idle [deep]']);
      expect(block(run, 'sleep')).toEqual([
        'PM: suspend entry (deep)',
        'ACPI: PM: Preparing to enter system sleep state S3',
        'CPU1 is up',
        'ACPI: PM: Waking up from system sleep state S3',
        'PM: suspend exit',
      ]);
      expect(block(run, 'health')).toEqual([]);
      expect(run.reasons).toEqual([entry === 'armed' ? 'guest-reset' : 'guest-shutdown']);
      // The crash region is memory, which S3 keeps.
      if (entry === 'armed') {
        const log = recoveredLog(run.serial);
        expect(log).toMatchObject({ complete: true });
        expect(log?.text).toMatch(/PM: suspend exit[^]*Kernel panic - not syncing: sysrq triggered crash/);
      }
    },
    30 * minutes,
  );

  test(
    'hibernates to its swap partition and comes back',
    async () => {
      const asleep = await system().boot({
        cpus: 2,
        orders: [
          settled,
          armed(),
          'echo before >/run/before\n',
          'systemctl start systemd-hibernate.service\n',
          sleepLog,
          printBlock('memory', 'cat /run/before'),
          health,
          powerOff,
        ].join(''),
      });
      expect(block(asleep, 'armed')).toEqual(node[entry]);
      expect(asleep.reasons).toEqual(['guest-shutdown']);
      const awake = await system().boot({ cpus: 2, orders: powerOff });
      // What the shell of before the sleep says now; a system that booted anew has no such shell.
      expect(block(awake, 'memory')).toEqual(['before']);
      expect(block(awake, 'sleep')).toEqual([
        'PM: hibernation: hibernation entry',
        'ACPI: PM: Preparing to enter system sleep state S4',
        'PM: hibernation: Creating image:',
        'CPU1 is up',
        'ACPI: PM: Waking up from system sleep state S4',
        'PM: hibernation: hibernation exit',
      ]);
      expect(block(awake, 'health')).toEqual([]);
      expect(awake.reasons).toEqual(['guest-shutdown']);
    },
    30 * minutes,
  );

  test(
    'restarts by kexec',
    async () => {
      const run = await system().boot({
        orders: `${settled}
if ! grep -q lane.second /proc/cmdline; then
  ${armed()}
  release=$(uname -r)
  kexec --load /boot/vmlinuz-$release --initrd=/boot/initrd.img-$release --command-line="$(cat /proc/cmdline) lane.second"
  systemctl kexec
  exit
fi
${armed('second')}${health}${powerOff}`,
      });
      expect(block(run, 'armed')).toEqual(node[entry]);
      // No boot loader has started this one.
      expect(block(run, 'second')).toEqual(node.plain);
      expect(block(run, 'health')).toEqual([]);
      expect(run.reasons).toEqual(['guest-shutdown']);
    },
    30 * minutes,
  );

  test(
    'leaves a panic to kdump, once that is loaded',
    async () => {
      system().setDefault(entry, `crashkernel=256M ${quick}`);
      const died = await system().boot({
        timeout: 1200,
        orders: settled + armed() + printBlock('loaded', 'cat /sys/kernel/kexec_crash_loaded') + crash,
      });
      expect(block(died, 'armed')).toEqual(node[entry]);
      expect(block(died, 'loaded')).toEqual(['1']);
      expect(died.reasons).toEqual(['guest-reset']);
      const asked = await system().boot({
        orders: [
          settled,
          printBlock(
            'kdump',
            "cd /var/crash && find . -type f -name 'd*' | sed 's/[0-9]\\{12\\}/TIME/g' | sort",
          ),
          printBlock('panic', "grep -h -o 'Kernel panic.*' /var/crash/*/dmesg.*"),
          printBlock('captures', 'ls -d /boot/saveoops/2*'),
          powerOff,
        ].join(''),
      });
      expect(block(asked, 'kdump')).toEqual(['./TIME/dmesg.TIME', './TIME/dump.TIME']);
      expect(block(asked, 'panic')).toEqual(['Kernel panic - not syncing: sysrq triggered crash']);
      expect(block(asked, 'captures')).toEqual([expect.stringContaining('No such file')]);
    },
    60 * minutes,
  );
});
