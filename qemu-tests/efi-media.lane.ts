/** Media and networks under UEFI, beside what efi.test.ts has of them. Part of `npm run test:efi`. */
import { describe, test } from '@jest/globals';
import { bootPayload, captured } from './harness/boot.js';
import { payload } from './harness/payloads.js';

const limit = 300_000;
const vfsPanic = 'Kernel panic - not syncing: VFS: Unable to mount root fs';

describe('an ISO image copied to a stick boots armed, and its panic is captured', () => {
  test.each(['bios', 'uefi'] as const)(
    '%s',
    async (firmware) => {
      const dir = await payload({ flavour: 'cloud-amd64', name: 'efi-iso' });
      captured(await bootPayload(dir, { firmware, media: 'iso-as-disk' }), vfsPanic);
    },
    limit,
  );
});
