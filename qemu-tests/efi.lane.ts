/**
 * UEFI on more of everything than efi.test.ts has: loaders, Secure Boot, memory sizes, early panics. `npm run test:efi`, not
 * part of `npm test`; it needs the Debian packages ovmf, syslinux-efi, systemd-boot-efi, grub-efi-amd64-bin and sbsigntool.
 * Each row boots armed, panics, and its panic is in the log recovered from /proc/vmcore, unless it says otherwise.
 */
import { copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { runTest } from '../src/commands/test.js';
import { withTemporaryFolder } from '../src/host/files.js';
import type { ScenarioResult } from '../src/machine/scenario.js';
import { serialLines } from '../src/machine/serial-text.js';
import { captured, check, serialConsole, type RunOptions } from './harness/boot.js';
import { buildPayloadFolder } from './harness/build.js';
import { host } from './harness/disks.js';
import { bootEfiFile, bootEsp } from './harness/esp.js';
import { cache, makeOnce } from './harness/folders.js';
import { guestInitramfs } from './harness/guest.js';
import type { EspFile } from './harness/make-esp.js';
import { payload, stockKernel, toolDigest } from './harness/payloads.js';

const limit = 300_000;
const vfsPanic = 'Kernel panic - not syncing: VFS: Unable to mount root fs';
const guestPanic = 'Kernel panic - not syncing: sysrq triggered crash';
const loader = 'EFI/BOOT/BOOTX64.EFI';

async function composedImage(): Promise<string> {
  const name = `efi-lane-${toolDigest()}`;
  const folder = await makeOnce(join(cache, 'payloads', name), async (out) => {
    await buildPayloadFolder({ kernel: stockKernel('cloud-amd64').vmlinuz, out, format: 'efi' });
  });
  return join(folder, 'saveoops.efi');
}

/** Panics once userspace has found the initrd. */
const panickingGuest = async (): Promise<string> => await guestInitramfs('echo c >/proc/sysrq-trigger\n');

function said({ serial }: ScenarioResult): readonly string[] {
  return serialLines(serial).flatMap((line) => /saveoops: E\d\d .*$/.exec(line)?.[0] ?? []);
}

const grub = '/usr/lib/grub/x86_64-efi/monolithic/grubx64.efi';
const systemdBoot = '/usr/lib/systemd/boot/efi/systemd-bootx64.efi';
const syslinux = '/usr/lib/SYSLINUX.EFI/efi64/syslinux.efi';
const ldlinux = '/usr/lib/syslinux/modules/efi64/ldlinux.e64';
const ukiStub = '/usr/lib/systemd/boot/efi/linuxx64.efi.stub';

function grubDisk(lines: readonly string[]): (image: string, initrd: string) => readonly EspFile[] {
  const text = ['search --file --set=root /kernel', ...lines, 'boot', ''].join('\n');
  return (image, initrd) => [
    { path: loader, source: grub },
    { path: 'EFI/debian/grub.cfg', source: { text } },
    { path: 'kernel', source: image },
    { path: 'initrd', source: initrd },
  ];
}

describe.each<[string, (image: string, initrd: string) => readonly EspFile[]]>([
  [
    'syslinux.efi, LINUX and INITRD (handover)',
    (image, initrd) => [
      { path: loader, source: syslinux },
      { path: 'EFI/BOOT/ldlinux.e64', source: ldlinux },
      {
        path: 'EFI/BOOT/syslinux.cfg',
        source: {
          text: `DEFAULT a\nLABEL a\n  LINUX kernel\n  INITRD initrd\n  APPEND ${serialConsole}\n`,
        },
      },
      { path: 'EFI/BOOT/kernel', source: image },
      { path: 'EFI/BOOT/initrd', source: initrd },
    ],
  ],
  ['GRUB, linux and initrd', grubDisk([`linux /kernel ${serialConsole}`, 'initrd /initrd'])],
  [
    'GRUB, linuxefi and initrdefi (handover)',
    grubDisk([`linuxefi /kernel ${serialConsole}`, 'initrdefi /initrd']),
  ],
  [
    'systemd-boot, an entry of type 1 (PE)',
    (image, initrd) => [
      { path: loader, source: systemdBoot },
      {
        path: 'loader/entries/a.conf',
        source: { text: `title a\nlinux /kernel\ninitrd /initrd\noptions ${serialConsole}\n` },
      },
      { path: 'kernel', source: image },
      { path: 'initrd', source: initrd },
    ],
  ],
])('%s', (_, disk) => {
  test(
    'armed, with the initrd',
    async () => {
      const result = await bootEsp(disk(await composedImage(), await panickingGuest()));
      const log = captured(result, guestPanic);
      check(result, () => {
        expect(log).toContain('efi: EFI v2');
        expect(said(result)).toEqual([]);
      });
    },
    limit,
  );
});

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

  test(
    'nokaslr, where firmware may have taken the only place',
    async () => {
      captured(await bootEfiFile(await composedImage(), `${serialConsole} nokaslr`), vfsPanic);
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

describe('Secure Boot', () => {
  const key = '/usr/share/ovmf/PkKek-1-snakeoil';
  /** OVMF that keeps its variables from the system by SMM, with the snakeoil key enrolled. */
  const secure = (variables: string): RunOptions => ({
    firmware: 'bios',
    board: 'q35,smm=on',
    extra: [
      ...['-global', 'driver=cfi.pflash01,property=secure,value=on'],
      ...['-drive', 'if=pflash,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.secboot.fd'],
      ...['-drive', `if=pflash,format=raw,file=${variables}`],
    ],
  });
  const withVariables = async <T>(use: (options: RunOptions) => Promise<T>): Promise<T> =>
    await withTemporaryFolder(async (folder) => {
      const variables = join(folder, 'vars.fd');
      await copyFile('/usr/share/OVMF/OVMF_VARS_4M.snakeoil.fd', variables);
      return await use(secure(variables));
    });

  test(
    'a signed image is armed; the crash kernel is locked down, and gives no shell',
    async () => {
      await withTemporaryFolder(async (folder) => {
        const plainKey = join(folder, 'key.pem');
        host('openssl', ['rsa', '-passin', 'pass:snakeoil', '-in', `${key}.key`, '-out', plainKey]);
        await buildPayloadFolder({
          kernel: stockKernel('cloud-amd64').vmlinuz,
          out: folder,
          format: 'efi',
          crashAppend: 'saveoops.after=shell saveoops.hold=0',
          signKey: plainKey,
          signCert: `${key}.pem`,
        });
        const result = await withVariables(async (options) =>
          bootEfiFile(join(folder, 'saveoops.efi'), undefined, { ...options, endAt: [] }),
        );
        const log = captured(result, vfsPanic);
        check(result, () => {
          expect(log).toMatch(/Kernel is locked down from EFI Secure Boot/);
          expect(result.serial).toMatch(/elfcorehdr=\d+K lockdown=integrity/);
          expect(result.serial).toContain('saveoops: no shell on a machine that is locked down');
          expect(result.end).toMatchObject({ kind: 'exit' });
        });
      });
    },
    limit,
  );

  test(
    'an unsigned one is refused by firmware',
    async () => {
      const result = await withVariables(async (options) =>
        bootEfiFile(await composedImage(), undefined, { ...options, endAt: [/Access Denied/] }),
      );
      check(result, () => {
        expect(result.serial).toContain('Access Denied');
        expect(result.serial).not.toContain('Linux version');
      });
    },
    limit,
  );
});
