/**
 * The real test, panics: `npm run test:debian`, not part of `npm test`. A Debian 13 with the package saveoops installed, armed
 * by its hooks, dies; after the automatic reboot the same system tells of what.
 */
import { describe, expect, test } from '@jest/globals';
import { dieAndAsk } from './debian/die-and-ask.js';
import { crash, settled, status } from './debian/orders.js';
import { freshSystemForEachTest } from './debian/fresh-system.js';
import { block } from './debian/system.js';
import { injectorFor } from './inject.js';

const minutes = 60_000;
const system = freshSystemForEachTest();

describe('an installed Debian that dies and restarts tells of', () => {
  test(
    'a panic at the login prompt',
    async () => {
      const { died, report } = await dieAndAsk(system(), { orders: settled + status + crash });
      expect(block(died, 'status')[0]).toMatch(/^saveoops: armed/);
      expect(report).toContain('Kernel panic - not syncing: sysrq triggered crash');
      expect(report).toContain('sysrq_handle_crash');
    },
    30 * minutes,
  );

  // A keyboard controller that fails. The debugger makes panic() the first thing that the driver's probe does.
  test(
    "a panic in a driver's probe, before userspace",
    async () => {
      const injector = await injectorFor(system().payloadFolder());
      const { report } = await dieAndAsk(system(), {
        debug: async (gdb) => {
          await injector.panicAt(gdb, 'i8042_probe', 'keyboard controller on fire');
        },
      });
      expect(report).toContain('Kernel panic - not syncing: keyboard controller on fire');
      expect(report).toContain('i8042_probe');
    },
    30 * minutes,
  );

  // As with an initramfs that the kernel cannot unpack: the disk's driver is in there.
  test(
    'a root file system whose disk has no driver',
    async () => {
      system().setDefault('armed', 'rdinit=/missing');
      const { report } = await dieAndAsk(system(), {}, () => {
        // The person who selects another entry of the boot menu.
        system().setDefault('armed');
      });
      expect(report).toContain(
        'Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)',
      );
      expect(report).toContain('mount_root_generic');
    },
    30 * minutes,
  );
});
