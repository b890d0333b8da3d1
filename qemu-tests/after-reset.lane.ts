/**
 * Resets of many kinds, and ends that are none (`npm run test:reset`): what dies without a word is captured, up to its last
 * line; what ends as it should is not, and neither is what does not hold together.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { logEnds } from '../src/capture-initramfs/markers.js';
import { readManifest } from '../src/image/payload-folder.js';
import { resetOptions } from '../src/machine/inject-reset.js';
import type { GdbRemote } from '../src/machine/gdb-remote.js';
import type { Machine } from '../src/machine/machine.js';
import { captureAfterReset } from '../src/machine/serial-parts.js';
import { serialLines } from '../src/machine/serial-text.js';
import { regionPlaces } from '../src/stubs/shared-layout.js';
import { bootFrom, captured, check, serialConsole } from './harness/boot.js';
import { guestInitramfs } from './harness/guest.js';
import { modulesOf } from './harness/kernel-modules.js';
import { stockKernel } from './harness/payloads.js';
import { regionBase } from './harness/region.js';
import {
  buttonWhenUp,
  expectCaptured,
  expectNoCapture,
  lastOnSerial,
  lastWords,
  resetAt,
  resetGuest,
  resetPayload,
  up,
  type Leave,
} from './reset-machine.js';
import { sharedMenuDisk, startEntry } from './shared-menu.js';

const limit = 15 * 60_000;
/** Of each kind, in one machine: SAVEOOPS_ENDS=50 for more. */
const ends = Number(process.env['SAVEOOPS_ENDS'] ?? 3);
/** Seconds of the guest's time: it must come that far within them on a host that is busy, too. */
const bootWatchdog = 60;

/** A promise and the call that settles it. */
function signal(): { readonly given: Promise<void>; readonly give: () => void } {
  let give: () => void = () => undefined;
  const given = new Promise<void>((resolve) => (give = resolve));
  return { given, give };
}

const secondSystem = 'guest: the second kernel';

/** A system that also switches itself off, sleeps, or starts another kernel, which stays. */
async function leavingPayload(): Promise<string> {
  const second = await guestInitramfs(`echo "${secondSystem}"\nsleep 10000\n`);
  return await resetPayload(
    [
      { path: 'bin/kexec', source: '/usr/sbin/kexec' },
      { path: 'vmlinuz', source: stockKernel('cloud-amd64').vmlinuz },
      { path: 'second.img', source: second },
    ],
    `  *guest.do=poweroff*) poweroff -f ;;
  *guest.do=sleep*) echo mem >/sys/power/state && reboot -f ;;
  *guest.do=kexec*)
    kexec -s -l /vmlinuz --initrd=/second.img --command-line="${serialConsole}" && kexec -e ;;
`,
    { flavour: 'cloud-amd64', name: 'leaving-after-reset' },
  );
}

describe('is captured, up to the last line:', () => {
  test.each(['x86_64_start_kernel', 'setup_arch', 'do_one_initcall'])(
    'a triple fault at %s',
    async (name) => {
      const dir = await resetPayload();
      await expectCaptured(dir, await resetAt(dir, 'triple-fault', name), lastOnSerial);
    },
    limit,
  );

  test.each(['rest_init', 'pci_subsys_init', 'populate_rootfs'])(
    'a kernel that hung at %s, interrupts off, and was reset',
    async (name) => {
      const dir = await resetPayload();
      await expectCaptured(dir, await resetAt(dir, 'hang', name), lastOnSerial);
    },
    limit,
  );

  test.each([
    ['1 GiB', 1024],
    ['8 GiB', 8192],
  ])(
    'a system that was reset with 4 CPUs and %s',
    async (_, memory) => {
      await expectCaptured(await resetPayload(), { memory, cpus: 4, meanwhile: buttonWhenUp });
    },
    limit,
  );

  test(
    'a triple fault',
    async () => {
      await expectCaptured(await resetPayload(), { words: 'guest.do=sysrq-b reboot=t' }, 'sysrq: Resetting');
    },
    limit,
  );

  test(
    'a system whose hardware watchdog nobody feeds',
    async () => {
      const modules = modulesOf('amd64', 'i6300esb');
      const paths = [...new Set(modules.map(({ path }) => path))];
      const arm = `  *guest.do=watchdog*)
    for module in ${paths.join(' ')}; do insmod /$module; done
    watchdog -T 20 -t 1 /dev/watchdog0
    sleep 3
    killall -9 watchdog
    echo "${lastWords}" >/dev/kmsg
    ;;
`;
      await expectCaptured(await resetPayload(modules, arm), {
        words: 'guest.do=watchdog',
        extra: ['-device', 'i6300esb'],
      });
    },
    limit,
  );
});

test(
  'a kernel of another payload of the menu is captured by the one that boots next; one of a payload that is in no list is not',
  async () => {
    const folder = mkdtempSync(join(tmpdir(), 'svo-'));
    try {
      const [newest, other] = [stockKernel('amd64').vmlinuz, stockKernel('cloud-amd64').vmlinuz];
      const initrd = await resetGuest([], '');
      // The same kernel and the same crash kernel: only a word on its command line makes it another payload.
      const stranger = await resetPayload([], '', {
        flavour: 'cloud-amd64',
        crashAppend: 'saveoops.hold=1',
        name: 'stranger',
      });
      const image = await sharedMenuDisk(folder, initrd, [
        { label: 'd', kernel: newest, append: serialConsole },
        {
          label: 'o',
          kernel: other,
          append: `${serialConsole} sysrq_always_enabled guest.do=sysrq-b reboot=t`,
        },
        { label: 's', folder: stranger, append: serialConsole },
      ]);
      const run = await bootFrom(
        { kind: 'disk', image },
        {
          memory: 512,
          timeout: 400,
          extra: resetOptions,
          meanwhile: async (machine, connect) => {
            const qmp = await connect();
            const from = await startEntry(machine, qmp, 's', 0);
            await machine.waitForLine([up], { timeoutMs: limit, from });
            await qmp.systemReset();
            const later = await startEntry(machine, qmp, 'o', from);
            await startEntry(machine, qmp, 'd', later);
          },
        },
      );
      const log = captured(run, 'sysrq: Resetting');
      check(run, () => {
        expect(log).toContain(basename(other).slice('vmlinuz-'.length));
        const lines = serialLines(run.serial);
        // Of the stranger, and of the other one, which its region kept from nothing.
        expect(lines.filter((line) => up.test(line)).length).toBe(2);
        expect(lines.filter((line) => line === captureAfterReset).length).toBe(1);
      });
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
  limit,
);

test(
  'the boot entry that tests it resets the machine, and says that memory came through',
  async () => {
    // As initramfs-tools and dracut make it: a shell and a few programs, and no /proc yet.
    const programs = ['sh', 'mkdir', 'mount'].map((name) => ({
      path: `bin/${name}`,
      source: '/bin/busybox',
    }));
    const dir = await resetPayload(programs);
    const run = await expectCaptured(
      dir,
      { label: 'saveoops-test-reset', endAt: [/^saveoops: reboot in 0 seconds$/] },
      'sysrq: Resetting',
    );
    check(run, () => {
      expect(serialLines(run.serial)).toContain(
        'saveoops: this was the test: memory comes through a reset of this machine',
      );
    });
  },
  limit,
);

describe('the boot watchdog', () => {
  test.each(['setup_arch', 'rest_init', 'populate_rootfs'])(
    'makes a hang at %s a capture',
    async (name) => {
      const dir = await resetPayload([], '', { bootWatchdog, name: 'boot-watchdog' });
      await expectCaptured(dir, { ...(await resetAt(dir, 'watchdog', name)), cpus: 2 }, lastOnSerial);
    },
    limit,
  );

  test(
    "goes over to the kernel's driver, as saveoops booted does it",
    async () => {
      const modules = ['lpc_ich', 'iTCO_wdt'].flatMap((name) => modulesOf('amd64', name));
      const files = [...new Map(modules.map((file) => [file.path, file])).values()];
      const load = `  *guest.do=outlive*)
    for module in ${files.map(({ path }) => path).join(' ')}; do insmod /$module; done
    cat /sys/class/watchdog/watchdog0/identity
    # Longer than the watchdog would have waited.
    sleep ${bootWatchdog + 10}
    reboot -f
    ;;
`;
      const dir = await resetPayload(files, load, { bootWatchdog, name: 'boot-watchdog' });
      const run = await expectNoCapture(dir, { words: 'guest.do=outlive' });
      check(run, () => {
        expect(serialLines(run.serial)).toContain('iTCO_wdt');
      });
    },
    limit,
  );

  test(
    'is left out on a board without one: E46',
    async () => {
      const dir = await resetPayload([], '', { bootWatchdog, name: 'boot-watchdog' });
      const run = await expectCaptured(dir, {
        board: 'pc',
        // E46 is none of the messages after which no capture comes.
        endAt: [new RegExp(`${logEnds}\\s*$`)],
        meanwhile: buttonWhenUp,
      });
      check(run, () => {
        expect(serialLines(run.serial)).toContain(
          'saveoops: E46 armed; --boot-watchdog finds none in this chipset that may reset the machine: left out',
        );
      });
    },
    limit,
  );
});

describe(`${ends} ends in a row, each as it should be, leave nothing to capture:`, () => {
  const bySelf = undefined;
  const pressed = (line: RegExp): Leave => {
    return async (machine, qmp, from) => {
      await machine.waitForLine([line], { timeoutMs: limit, from });
      await qmp.systemReset();
    };
  };
  const switchedOn: Leave = async (_, qmp, __, boot) => {
    // RAM stays what it was: more than a power switch leaves.
    await qmp.event('SHUTDOWN', undefined, boot);
    await qmp.systemReset();
    await qmp.execute('cont');
  };
  const woken: Leave = async (_, qmp, __, boot) => {
    await qmp.event('SUSPEND', undefined, boot);
    await qmp.execute('system_wakeup');
  };

  test.each([
    { way: 'a restart', words: 'guest.do=reboot', leave: bySelf },
    { way: 'a restart with reboot=force', words: 'guest.do=reboot reboot=warm,force', leave: bySelf },
    { way: 'halt, then the button', words: 'guest.do=halt', leave: pressed(/reboot: System halted/) },
    { way: 'power off and on', words: 'guest.do=poweroff', leave: switchedOn },
    {
      way: 'kexec, and of its kernel the button',
      words: 'guest.do=kexec',
      leave: pressed(new RegExp(secondSystem)),
    },
    { way: 'S3, then a restart', words: 'guest.do=sleep', leave: woken },
  ])(
    '$way',
    async ({ words, leave }) => {
      const dir = await leavingPayload();
      const extra = ['-action', 'shutdown=pause'];
      await expectNoCapture(dir, { words: `quiet ${words}`, extra }, leave, ends);
    },
    limit * Math.max(1, ends / 5),
  );
});

describe('is not captured:', () => {
  test(
    'a restart with reboot=force: no mark is left',
    async () => {
      const run = await expectNoCapture(await resetPayload(), { words: 'guest.do=reboot reboot=warm,force' });
      check(run, () => {
        expect(serialLines(run.serial)).toContain(
          'saveoops: E45 armed; --after-reset does not go with reboot=force: left out',
        );
      });
    },
    limit,
  );

  test(
    'a system that UEFI has started, and then was reset: no mark is left, nobody looks',
    async () => {
      const run = await expectNoCapture(
        await resetPayload(),
        { firmware: 'uefi', memory: 1024 },
        async (_, qmp) => {
          await qmp.systemReset();
        },
      );
      check(run, () => {
        // Behind Syslinux' progress, on its line.
        expect(run.serial).toContain(
          'saveoops: E44 armed; --after-reset is for machines that BIOS has started: left out',
        );
      });
    },
    limit,
  );

  test(
    'a cold start with RAM full of what is random',
    async () => {
      const folder = mkdtempSync(join(tmpdir(), 'svo-'));
      try {
        const file = join(folder, 'random');
        // Seeded: a failure comes back.
        const bytes = Buffer.alloc(64 << 20);
        for (let at = 0, value = 1; at < bytes.length; at += 4) {
          value = (Math.imul(value, 1664525) + 1013904223) >>> 0;
          bytes.writeUInt32LE(value, at);
        }
        writeFileSync(file, bytes);
        const extra = ['-device', `loader,file=${file},addr=0x10000000,force-raw=on`];
        await expectNoCapture(await resetPayload(), { extra, words: 'guest.do=reboot' });
      } finally {
        rmSync(folder, { recursive: true, force: true });
      }
    },
    limit,
  );

  /** Flips a bit of the region of a system that is up, and presses the button. */
  async function flip(place: number): Promise<void> {
    const dir = await resetPayload();
    const { memory } = await readManifest(dir);
    const started = signal();
    const flipped = signal();
    let gdbOf: GdbRemote | undefined;
    let base = 0;
    const debug = async (gdb: GdbRemote): Promise<void> => {
      gdbOf = gdb;
      gdb.continue();
      await started.given;
      gdb.interrupt();
      await gdb.waitForStop(60_000);
      await gdb.setPhysicalMemory(true);
      const at = BigInt(base + place);
      const [byte = 0] = await gdb.readMemory(at, 1);
      await gdb.writeMemory(at, Buffer.of(byte ^ 0x10));
      await gdb.setPhysicalMemory(false);
      await gdb.detach();
      flipped.give();
    };
    const leave = async (machine: Machine, qmp: { systemReset: () => Promise<void> }): Promise<void> => {
      base = await regionBase(machine, memory.size);
      started.give();
      await flipped.given;
      await qmp.systemReset();
    };
    await expectNoCapture(dir, { debug }, leave);
    expect(gdbOf).toBeDefined();
  }

  test.each([
    ['the mark', regionPlaces.RUNNING],
    ['the version', regionPlaces.RUNNING + 8],
    ['the address of the region', regionPlaces.RUNNING + 19],
    ['the sum', regionPlaces.RUNNING + 24],
    ['the crash stub', regionPlaces.CRASH_STUB + 0x200],
    ['the crash table', regionPlaces.CRASH_TABLE + 0x40],
    ['a page table', regionPlaces.PAGE_TABLES + 0x3000],
    ["the crash kernel's boot_params", regionPlaces.BOOT_PARAMS + 0x230],
    ["the crash kernel's command line", regionPlaces.CMDLINE + 5],
    ['VMCOREINFO', regionPlaces.NOTES + 0x100],
    ['the crash kernel', regionPlaces.CRASH_KERNEL + 0x12345],
  ])(
    'a system whose region has a flipped bit in %s',
    async (_, place) => {
      await flip(place);
    },
    limit,
  );
});
