/**
 * The composed image and an initrd by each boot loader for UEFI, in the versions of Debian 12, Debian 13 and sid, and by newer
 * firmware. Each row boots armed, panics in userspace, and its panic is in the log recovered from /proc/vmcore.
 * docs/loaders.md has the table.
 */
import { copyFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { runTest } from '../src/commands/test.js';
import { withTemporaryFolder } from '../src/host/files.js';
import { syslinuxFiles } from '../src/image/requirements.js';
import type { ScenarioResult } from '../src/machine/scenario.js';
import { composedImage, guestPanic, limit, panickingGuest, said, vfsPanic } from './efi-lane.js';
import { captured, check, serialConsole, type RunOptions } from './harness/boot.js';
import { bootEfiFile, bootEsp } from './harness/esp.js';
import {
  grubFiles,
  ipxeFile,
  ovmf,
  systemdBootFiles,
  type OvmfCode,
  type Release,
} from './harness/loaders.js';
import { startedFile, type EspFile } from './harness/make-esp.js';
import { payload } from './harness/payloads.js';

/** Kernel and initrd on the host; gives what the disk has. */
type DiskOf = (image: string, initrd: string) => readonly EspFile[];

const releases: readonly Release[] = ['bookworm', 'trixie', 'sid'];

/** The loader's files with kernel and initrd in the root of the disk. */
function withKernel(loader: readonly EspFile[]): DiskOf {
  return (image, initrd) => [
    ...loader,
    { path: 'kernel', source: image },
    { path: 'initrd', source: initrd },
  ];
}

function grubDisk(release: Release, ...lines: readonly string[]): DiskOf {
  return withKernel(grubFiles(release, ...lines));
}

/** @param folder URI of the folder that kernel and initrd are in */
const ipxeScript = (folder: string): string =>
  [
    ...['#!ipxe', 'ifopen net0', `kernel ${folder}/kernel initrd=initrd ${serialConsole}`],
    ...[`initrd ${folder}/initrd`, 'boot', ''],
  ].join('\n');

/**
 * A network adapter, without QEMU's own iPXE in its ROM. iPXE starts an EFI image only when it has opened one, whatever the image came
 * from.
 */
const adapter = (network: string): readonly string[] => [
  ...['-netdev', `user,id=net${network}`, '-device', 'virtio-net-pci,netdev=net,romfile='],
];

const syslinuxDisk: DiskOf = (image, initrd) => [
  { path: startedFile, source: syslinuxFiles.efi },
  { path: 'EFI/BOOT/ldlinux.e64', source: syslinuxFiles.ldlinuxEfi },
  {
    path: 'EFI/BOOT/syslinux.cfg',
    source: { text: `DEFAULT a\nLABEL a\n  LINUX kernel\n  INITRD initrd\n  APPEND ${serialConsole}\n` },
  },
  { path: 'EFI/BOOT/kernel', source: image },
  { path: 'EFI/BOOT/initrd', source: initrd },
];

/** The machine booted by UEFI, armed, and the guest of the initrd panicked. */
function expectCapture(result: ScenarioResult): void {
  const log = captured(result, guestPanic);
  check(result, () => {
    expect(log).toContain('efi: EFI v2');
    expect(said(result)).toEqual([]);
  });
}

async function bootDisk(disk: DiskOf, options: RunOptions = {}): Promise<void> {
  expectCapture(await bootEsp(disk(await composedImage(), await panickingGuest()), options));
}

describe.each<[string, DiskOf]>([
  ['syslinux.efi, LINUX and INITRD (handover)', syslinuxDisk],
  ...releases.map((release): [string, DiskOf] => [
    `GRUB of ${release}, linux and initrd`,
    grubDisk(release, `linux /kernel ${serialConsole}`, 'initrd /initrd'),
  ]),
  [
    'GRUB of bookworm, linuxefi and initrdefi (handover)',
    grubDisk('bookworm', `linuxefi /kernel ${serialConsole}`, 'initrdefi /initrd'),
  ],
  ...releases.map((release): [string, DiskOf] => [
    `systemd-boot of ${release}, an entry of type 1 (PE)`,
    withKernel(systemdBootFiles(release, 'initrd /initrd', `options ${serialConsole}`)),
  ]),
])('%s', (_, disk) => {
  test(
    'armed, with the initrd',
    async () => {
      await bootDisk(disk);
    },
    limit,
  );
});

describe('iPXE (PE)', () => {
  test.each(releases)(
    'of %s: a script, kernel and initrd by TFTP',
    async (release) => {
      await withTemporaryFolder(async (tftp) => {
        await writeFile(join(tftp, 'boot.ipxe'), ipxeScript('tftp://10.0.2.2'));
        await copyFile(await composedImage(), join(tftp, 'kernel'));
        await copyFile(await panickingGuest(), join(tftp, 'initrd'));
        const disk = [{ path: startedFile, source: ipxeFile(release) }];
        expectCapture(await bootEsp(disk, { extra: adapter(`,tftp=${tftp},bootfile=boot.ipxe`) }));
      });
    },
    limit,
  );

  // That of Debian 12 knows no such file, and reads no file systems.
  test.each(['trixie', 'sid'] as const)(
    'of %s: autoexec.ipxe, kernel and initrd on its disk',
    async (release) => {
      const disk = withKernel([
        { path: startedFile, source: ipxeFile(release) },
        { path: 'EFI/BOOT/autoexec.ipxe', source: { text: ipxeScript('file://') } },
      ]);
      await bootDisk(disk, { extra: adapter('') });
    },
    limit,
  );
});

test.each(['grub', 'systemd-boot'] as const)(
  'saveoops test --loader %s',
  async (loader) => {
    const dir = await payload({
      flavour: 'cloud-amd64',
      initrds: [await panickingGuest()],
      name: 'efi-loader',
    });
    let out = '';
    const io = { out: (text: string) => (out += text), progress: () => undefined };
    const code = await runTest({ dir, loader }, io);
    expect([code, code === 0 ? '' : out]).toEqual([0, '']);
  },
  limit,
);

test.each(releases)(
  'GRUB of %s, chainloader (PE)',
  async (release) => {
    const disk = grubDisk(release, `chainloader /kernel ${serialConsole}`);
    captured(await bootEsp(disk(await composedImage(), await panickingGuest())), vfsPanic);
  },
  limit,
);

describe.each<[Release, OvmfCode]>(
  (['trixie', 'sid'] as const).flatMap((release): [Release, OvmfCode][] => [
    [release, 'OVMF_CODE_4M.fd'],
    [release, 'OVMF_CODE_4M.secboot.strictnx.fd'],
  ]),
)('%s: %s', (release, code) => {
  test(
    'starts the image itself (PE)',
    async () => {
      const machine = ovmf(release, code);
      captured(await bootEfiFile(await composedImage(), undefined, machine), vfsPanic);
    },
    limit,
  );

  test(
    'starts it by syslinux.efi (handover)',
    async () => {
      await bootDisk(syslinuxDisk, ovmf(release, code));
    },
    limit,
  );
});
