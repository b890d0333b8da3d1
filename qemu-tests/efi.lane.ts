/**
 * UEFI on more of everything than efi.test.ts has: memory sizes, early panics, a unified kernel image. `npm run test:efi`, not part
 * of `npm test`; scripts/test-efi.sh installs and downloads what it needs. Beside it: efi-loaders, efi-secure-boot, efi-parity.
 * Each row boots armed, panics, and its panic is in the log recovered from /proc/vmcore, unless it says otherwise.
 */
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { runTest } from '../src/commands/test.js';
import { withTemporaryFolder } from '../src/host/files.js';
import { composedImage, guestPanic, limit, panickingGuest, vfsPanic } from './efi-lane.js';
import { captured, serialConsole } from './harness/boot.js';
import { host } from './harness/disks.js';
import { bootEfiFile } from './harness/esp.js';
import { packageFile } from './harness/loaders.js';
import { payload } from './harness/payloads.js';

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
