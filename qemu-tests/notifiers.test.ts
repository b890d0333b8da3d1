/**
 * crash_kexec_post_notifiers: panic() runs its notifiers and kmsg dumpers first, as before a kdump. Two witnesses: the
 * kernel's own notifier that prints the KASLR offset, and ramoops, which keeps the log in RAM.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from '@jest/globals';
import { logBegins } from '../src/capture-initramfs/markers.js';
import type { ScenarioResult } from '../src/machine/scenario.js';
import { readManifest } from '../src/image/payload-folder.js';
import { regionPlaces } from '../src/stubs/shared-layout.js';
import { few, thorough } from '../src/testkit/lanes.js';
import { bootPayload, captured, check, serialConsole } from './harness/boot.js';
import { guestInitramfs } from './harness/guest.js';
import { modulesOf } from './harness/kernel-modules.js';
import { payload } from './harness/payloads.js';
import { damageRegion } from './harness/region.js';
import { injectorFor } from './inject.js';

const limit = 240_000;
const folder = mkdtempSync(join(tmpdir(), 'svo-'));
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});
const ramoops = { address: 0x10000000, size: 0x40000 };
const panic = 'Kernel panic - not syncing: sysrq triggered crash';
/** Printed by dump_kernel_offset() (arch/x86/kernel/setup.c), a panic notifier. */
const notifier = /^\[.*\] Kernel Offset: /m;

async function guest(): Promise<string> {
  const modules = modulesOf('amd64', 'ramoops');
  const parameters = `mem_address=${ramoops.address} mem_size=${ramoops.size} record_size=${ramoops.size >> 1} console_size=0 ftrace_size=0 pmsg_size=0`;
  return await guestInitramfs(
    `
${modules.map(({ path }) => `insmod /${path}${path.endsWith('/ramoops.ko') ? ` ${parameters}` : ''}`).join('\n')}
exec sh -c 'echo c >/proc/sysrq-trigger'
`,
    modules,
  );
}

/** Crashes in userspace; gives the run and what ramoops held when the crash kernel was up. */
async function crash(option: string, cpus: number): Promise<{ result: ScenarioResult; kept: Buffer }> {
  const dir = await payload({
    flavour: 'amd64',
    initrds: [await guest()],
    append: `sysrq_always_enabled pstore.compress=none memmap=${ramoops.size}$${ramoops.address}`,
    name: 'notifiers',
  });
  let kept = Buffer.alloc(0);
  const result = await bootPayload(dir, {
    cpus,
    extraAppend: `${serialConsole}${option}`,
    endAt: [/^saveoops: reboot in/, /---\[ end Kernel panic/],
    meanwhile: async (machine, qmp) => {
      const control = await qmp();
      const begun = await machine.waitForLine([new RegExp(logBegins)], { timeoutMs: limit });
      if (begun.kind !== 'line') return;
      const file = join(folder, 'ramoops.bin');
      await control.saveMemory(BigInt(ramoops.address), ramoops.size, file);
      kept = await readFile(file);
    },
  });
  return { result, kept };
}

describe('crash_kexec_post_notifiers', () => {
  test.each(few(1, [2, 1]))(
    'on %i CPU: notifiers and ramoops first, then the capture',
    async (cpus) => {
      const { result, kept } = await crash(' crash_kexec_post_notifiers', cpus);
      const log = captured(result, panic);
      check(result, () => {
        expect(log.slice(log.indexOf(panic))).toMatch(notifier);
        expect(kept.includes(panic)).toBe(true);
      });
    },
    limit,
  );

  thorough(
    'without it: the capture at once',
    async () => {
      const { result, kept } = await crash('', 1);
      const log = captured(result, panic);
      check(result, () => {
        expect(log).not.toMatch(notifier);
        expect(kept.length).toBe(ramoops.size);
        expect(kept.includes(panic)).toBe(false);
      });
    },
    limit,
  );

  test(
    'before crash_notes exists there is no detour',
    async () => {
      const dir = await payload({ flavour: 'amd64', name: 'bare-amd64' });
      const injector = await injectorFor(dir);
      const message = `Injected early ${Date.now().toString(36)}`;
      const result = await bootPayload(dir, {
        cpus: 2,
        extraAppend: `${serialConsole} crash_kexec_post_notifiers`,
        debug: async (gdb) => {
          await injector.panicAt(gdb, 'driver_init', message);
        },
      });
      captured(result, message);
    },
    limit,
  );

  test.each(
    few(1, [
      ['SHA-256 differs: crash kernel', regionPlaces.CRASH_KERNEL + 0x123456],
      // native_crash_shutdown in struct state (stubs/crash/dead-kernel.h), behind what crash.h lists.
      ["damaged: the crash stub's state", regionPlaces.STATE + 96],
    ]),
  )(
    'damage while the notifiers run: said (%s), and the machine does what panic= says',
    async (why, place) => {
      const dir = await payload({
        flavour: 'amd64',
        initrds: [await guest()],
        append: 'sysrq_always_enabled',
      });
      const { memory } = await readManifest(dir);
      const injector = await injectorFor(dir);
      const result = await bootPayload(dir, {
        endAt: [],
        extraAppend: `${serialConsole} nokaslr panic=1 crash_kexec_post_notifiers`,
        ...damageRegion(
          injector.addressOf('kmsg_dump'),
          memory.size,
          place,
          ([byte = 0]) => Buffer.from([~byte & 255]),
          (gdb) => gdb.detach(),
        ),
      });
      check(result, () => {
        expect(result.serial).toContain(panic);
        expect(result.serial).toContain(`saveoops: E30 not captured, ${why}`);
        expect(result.serial).not.toContain(logBegins);
        expect(result.end).toMatchObject({ kind: 'exit', code: 0 });
      });
    },
    limit,
  );
});
