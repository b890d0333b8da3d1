/**
 * Non-maskable interrupts while the crash stub is at work, on a kernel with page-table isolation. The debugger stops the machine
 * at each phase and sends one, as a device would by MSI: until the stub has handlers of its own it is the dead kernel's
 * entry code that gets it, on the stub's page tables.
 */
import { describe, expect, test } from '@jest/globals';
import { readManifest } from '../src/image/payload-folder.js';
import type { GdbRemote } from '../src/machine/gdb-remote.js';
import { runTo } from '../src/machine/kernel-debugger.js';
import { loadStubObjects } from '../src/stubs/stub-objects.js';
import { few } from '../src/testkit/lanes.js';
import { crashRegion } from './handover.js';
import { bootPayload, check, guestBlock, serialConsole } from './harness/boot.js';
import { injectorFor } from './inject.js';
import { guestPanic, vmcoreEnds, vmcorePayload } from './vmcore-guests.js';

const limit = 420_000;
/** Milliseconds. */
const arrival = 200_000;
/** What the dead kernel says of each that it gets (arch/x86/kernel/nmi.c). */
const noticed = /NMI received for unknown reason/g;

/** A write of a device to the first CPU's local APIC, delivery mode NMI (Intel SDM vol. 3, 11.11 "Message Signalled Interrupts"). */
async function sendNmi(gdb: GdbRemote): Promise<void> {
  await gdb.setPhysicalMemory(true);
  await gdb.writeMemory(0xfee00000n, Buffer.from([0, 4, 0, 0]));
  await gdb.setPhysicalMemory(false);
}

/** Functions of the crash stub and of the kernel, in the order of their first calls. */
const atOnce = ['crash_entry', 'crash_main', 'call_kernel', 'hash_blocks'];
const afterwards = [
  'native_machine_crash_shutdown',
  'use_own_tables',
  'place_core_file',
  'enter_crash_kernel',
];
/** The kernel says nothing of an NMI once it has stopped the other CPUs: crash_nmi_callback() is for all of them. */
const said = 3;

describe('an NMI at each phase of the crash stub, pti=on, 2 CPUs', () => {
  test.each(
    few(1, [
      [
        'after the notifiers',
        ' crash_kexec_post_notifiers',
        ['crash_entry', 'crash_main', 'hash_blocks', '__crash_kexec', ...atOnce, ...afterwards],
      ],
      ['at once', '', [...atOnce, ...afterwards]],
    ]),
  )(
    '%s',
    async (_, option, phases) => {
      const dir = await vmcorePayload('cloud-amd64', 'grep -qw pti /proc/cpuinfo && echo "guest: pti"');
      const manifest = await readManifest(dir);
      const injector = await injectorFor(dir);
      const { crash } = await loadStubObjects();
      const run = await bootPayload(dir, {
        cpus: 2,
        timeout: 360,
        extra: ['-cpu', 'Haswell'],
        extraAppend: `${serialConsole} pti=on guest.cpu=0${option}`,
        endAt: vmcoreEnds,
        debug: async (gdb) => {
          const deadline = Date.now() + arrival;
          const { region, kaslrOffset } = await crashRegion(gdb, manifest, deadline);
          for (const phase of phases) {
            const place = crash.symbols.get(phase)?.value;
            const address =
              place === undefined
                ? BigInt.asUintN(64, injector.addressOf(phase) + kaslrOffset)
                : region + place;
            await gdb.setBreakpoint(address);
            await runTo(gdb, address, deadline, phase);
            await gdb.removeBreakpoint(address);
            await sendNmi(gdb);
          }
          await gdb.detach();
        },
      });
      check(run, () => {
        expect(run.serial).toContain('guest: pti');
        expect(run.serial).not.toMatch(/saveoops: E/);
        const log = guestBlock(run, 'dead log').join('\n');
        expect(log).toContain(guestPanic);
        expect(log.match(noticed)?.length).toBe(said);
      });
    },
    limit,
  );
});
