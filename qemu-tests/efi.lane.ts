/**
 * UEFI on more of everything than efi.test.ts has: memory sizes, early panics, a unified kernel image. `npm run test:efi`, not part
 * of `npm test`; scripts/test-efi.sh installs and downloads what it needs. Beside it: efi-loaders, efi-secure-boot, efi-parity.
 * Each row boots armed, panics, and its panic is in the log recovered from /proc/vmcore, unless it says otherwise.
 */
import { copyFile, readFile, truncate, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { runTest } from '../src/commands/test.js';
import { withTemporaryFolder } from '../src/host/files.js';
import { readManifest } from '../src/image/payload-folder.js';
import type { QmpClient } from '../src/machine/qmp.js';
import { planDef, regionPlaces, startupPatternSize, structSize } from '../src/stubs/shared-layout.js';
import { loadStubObjects, requireSymbol } from '../src/stubs/stub-objects.js';
import { StructureWriter } from '../src/stubs/structure-writer.js';
import { bootUnarmed, composedImage, guestPanic, limit, panickingGuest, said, vfsPanic } from './efi-lane.js';
import { bootPayload, captured, check, serialConsole } from './harness/boot.js';
import { host } from './harness/disks.js';
import { bootEfiFile, bootEsp } from './harness/esp.js';
import { ramAtOneTiB } from './harness/large-memory.js';
import { packageFile } from './harness/loaders.js';
import { payload } from './harness/payloads.js';
import { asReadByVgaBios, lastRow, screenOf, sizeOf } from './harness/screen.js';
import { screenAtReset } from './harness/screen-at-reset.js';
import { meeting, monitor } from './handover.js';
import { injectorFor } from './inject.js';

const ukiStub = packageFile('bookworm', 'systemd-boot-efi', 'usr/lib/systemd/boot/efi/linuxx64.efi.stub');

test(
  'a unified kernel image with the composed file as .linux, made by objcopy',
  async () => {
    await withTemporaryFolder(async (folder) => {
      const [uki, cmdline] = [join(folder, 'uki.efi'), join(folder, 'cmdline')];
      host('sh', ['-c', `printf %s '${serialConsole}' >'${cmdline}'`]);
      const section = (name: string, file: string, at: string): string[] => [
        ...['--add-section', `${name}=${file}`, '--change-section-vma', `${name}=${at}`],
      ];
      host('objcopy', [
        ...section('.cmdline', cmdline, '0x30000'),
        ...section('.linux', await composedImage(), '0x2000000'),
        ...section('.initrd', await panickingGuest(), '0x6000000'),
        ukiStub,
        uki,
      ]);
      captured(await bootEfiFile(uki, undefined), guestPanic);
    });
  },
  limit,
);

describe('memory', () => {
  test.each([384, 512, 6144])(
    '%d MiB',
    async (memory) => {
      captured(await bootEfiFile(await composedImage(), serialConsole, { memory, cpus: 2 }), vfsPanic);
    },
    limit,
  );

  // It is larger than what the image, its copy and the crash region leave below.
  test(
    'an initrd above 4 GiB',
    async () => {
      await withTemporaryFolder(async (folder) => {
        const initrd = join(folder, 'initrd');
        await copyFile(await panickingGuest(), initrd);
        await truncate(initrd, 160 << 20);
        const result = await bootEsp(
          [
            { path: 'kernel.efi', source: await composedImage() },
            { path: 'initrd', source: initrd },
            {
              path: 'startup.nsh',
              source: { text: `fs0:\r\nkernel.efi ${serialConsole} initrd=initrd\r\n` },
            },
          ],
          { memory: 3072, board: 'q35,max-ram-below-4g=384M' },
        );
        const log = captured(result, guestPanic);
        check(result, () => {
          const [, start = '0'] = /RAMDISK: \[mem (0x[0-9a-f]+)-/.exec(log) ?? [];
          expect(Number(start)).toBeGreaterThanOrEqual(4 * 2 ** 30);
        });
      });
    },
    limit,
  );

  test(
    'none for the crash region: E05, by firmware',
    async () => {
      await bootUnarmed(
        await composedImage({ crashSize: '900M' }),
        'saveoops: E05 not armed: no free RAM below 4 GiB for the crash region',
      );
    },
    limit,
  );

  test(
    'above 1 TiB',
    async () => {
      const result = await bootEfiFile(await composedImage(), serialConsole, {
        ...ramAtOneTiB(5120),
        cpus: 2,
      });
      const log = captured(result, vfsPanic);
      check(result, () => {
        expect(log).toContain('BIOS-e820: [mem 0x0000010000000000-');
        expect(said(result)).toEqual([]);
      });
    },
    limit,
  );

  test(
    'the kernel that the stub starts, not found: E42',
    async () => {
      const image = await composedImage();
      const { regions } = await readManifest(dirname(image));
      const { entry } = await loadStubObjects();
      const offsetOfRegion = (name: string): number =>
        regions.find((each) => each.name === name)?.offset ?? NaN;
      const at = offsetOfRegion('entry-stub') - offsetOfRegion('setup');
      const planAt = at + Number(requireSymbol(entry.symbols, 'plan', 'entry.elf').value);
      await withTemporaryFolder(async (folder) => {
        const bytes = await readFile(image);
        const plan = StructureWriter.of(planDef, bytes.subarray(planAt, planAt + structSize(planDef)));
        plan.put('startup', Buffer.alloc(startupPatternSize, 1));
        bytes.set(plan.seal(), planAt);
        await writeFile(join(folder, 'other.efi'), bytes);
        await bootUnarmed(
          join(folder, 'other.efi'),
          'saveoops: E42 not armed: the kernel that its EFI stub is about to start was not found',
        );
      });
    },
    limit,
  );

  test(
    'nokaslr, where firmware may have taken the only place',
    async () => {
      captured(await bootEfiFile(await composedImage(), `${serialConsole} nokaslr`), vfsPanic);
    },
    limit,
  );
});

describe('a panic once the kernel runs', () => {
  const early = async (): Promise<string> => await payload({ flavour: 'cloud-amd64', name: 'efi-early' });

  // SetVirtualAddressMap() is the first call of firmware.
  test(
    'inside a call of firmware, on the page tables for that',
    async () => {
      const dir = await early();
      const injector = await injectorFor(dir);
      const message = `Injected into firmware's hands ${Date.now().toString(36)}`;
      const connected = meeting<QmpClient>();
      const tables: string[] = [];
      const result = await bootPayload(dir, {
        firmware: 'uefi',
        extraAppend: `${serialConsole} nokaslr`,
        meanwhile: async (machine, connect) => {
          connected.come(await connect());
          await machine.exited;
        },
        debug: async (gdb) => {
          const qmp = await connected.here;
          const kernel = await injector.kernelAt(gdb, 0n);
          for (const name of ['efi_enter_virtual_mode', '__efi_call']) {
            await kernel.arriveAt(name);
            tables.push(/CR3=([0-9a-f]+)000/.exec(await monitor(qmp, 'info registers'))?.[1] ?? '');
          }
          await kernel.call('panic', message);
          await gdb.detach();
        },
      });
      captured(result, `Kernel panic - not syncing: ${message}`);
      check(result, () => {
        expect(tables[0]).toMatch(/^[0-9a-f]+$/);
        expect(tables[1]).toMatch(/^[0-9a-f]+$/);
        expect(tables[1]).not.toBe(tables[0]);
      });
    },
    limit,
  );

  test(
    'with --reset-vga leaves the frame buffer alone, and says so',
    async () => {
      const { options, seen } = screenAtReset(async (qmp, path) => sizeOf(await screenOf(qmp, path)));
      const image = await composedImage({ resetVga: true, crashAppend: 'saveoops.hold=0' });
      const result = await bootEfiFile(image, serialConsole, options);
      captured(result, vfsPanic);
      check(result, () => {
        expect(said(result)).toEqual([
          'saveoops: E43 armed; --reset-vga is for machines that BIOS has started: left out',
        ]);
        expect(seen()).toBe('1280x800');
      });
    },
    limit,
  );

  test(
    'that is not captured is said on the screen',
    async () => {
      const dir = await early();
      const injector = await injectorFor(dir);
      const { facts } = await readManifest(dir);
      const slots = BigInt(facts.find(({ name }) => name === 'hook sum')?.value ?? 0) - 24n;
      const { options, seen } = screenAtReset(lastRow);
      const result = await bootPayload(dir, {
        ...options,
        firmware: 'uefi',
        extraAppend: `${serialConsole} nokaslr panic=1 video=efifb:off`,
        debug: async (gdb) => {
          await injector.standAtPanic(gdb, 'kernel_init_freeable', 'damaged', { kind: 'known', offset: 0n });
          const region = (await gdb.readMemory(slots, 8)).readBigUInt64LE();
          await gdb.setPhysicalMemory(true);
          await gdb.writeMemory(region + BigInt(regionPlaces.CMDLINE), Buffer.from('x'));
          await gdb.setPhysicalMemory(false);
          await gdb.detach();
        },
      });
      check(result, () => {
        const message = 'saveoops: E30 not captured, SHA-256 differs: boot_params';
        expect(said(result)).toEqual([message]);
        expect(seen()).toBe(asReadByVgaBios(message));
      });
    },
    limit,
  );
});

describe('an early panic', () => {
  test.each(['start_kernel', 'console_init', 'efi_init', 'efi_call_rts'])(
    'in %s',
    async (name) => {
      const dir = await payload({ flavour: 'cloud-amd64', name: 'efi-early' });
      let out = '';
      const io = { out: (text: string) => (out += text), progress: () => undefined };
      const code = await runTest({ dir, panic: name, firmware: 'uefi' }, io);
      expect([code, code === 0 ? '' : out]).toEqual([0, '']);
    },
    limit,
  );
});
