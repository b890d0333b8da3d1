/**
 * The last screen of adapters whose own DRM driver the primary had loaded: the crash kernel finds them in a mode that the registers of a
 * VGA do not describe. `npm run test:screens`. What the code holds is compared with the serial port, as in last-screen.test.ts.
 */
import { describe, expect, test } from '@jest/globals';
import { readPhoto, type PhotographedLog } from '../src/panic-code/read-photo.js';
import { recoveredLog } from '../src/machine/recovered-log.js';
import { bootPayload, captured, check, guestBlock } from './harness/boot.js';
import { guestInitramfs, printBlock } from './harness/guest.js';
import { modulesOf } from './harness/kernel-modules.js';
import { payload } from './harness/payloads.js';
import { screenOf, sizeOf, textModeRows } from './harness/screen.js';
import { screenAtReset } from './harness/screen-at-reset.js';

const minutes = 60_000;
const panicMessage = 'Kernel panic - not syncing: sysrq triggered crash';

interface Adapter {
  /** QEMU's -vga. */
  readonly vga: string;
  /** Kernel modules; what they need comes along. */
  readonly modules: readonly string[];
  /** The driver's frame buffer, in /sys/class/graphics/fb0/name. */
  readonly frameBuffer: string;
}

const bochs: Adapter = { vga: 'std', modules: ['bochs'], frameBuffer: 'bochs-drmdrmfb' };
const qxl: Adapter = { vga: 'qxl', modules: ['qxl'], frameBuffer: 'qxldrmfb' };
const virtio: Adapter = {
  vga: 'virtio',
  modules: ['virtio_pci', 'virtio_gpu'],
  frameBuffer: 'virtio_gpudrmfb',
};

/** Loads the driver and panics. */
async function guest({ modules }: Adapter): Promise<string> {
  const files = modules.flatMap((name) => modulesOf('amd64', name));
  const paths = [...new Set(files.map(({ path }) => path))];
  return await guestInitramfs(
    `
for module in ${paths.join(' ')}; do insmod /$module; done
${printBlock('display', 'cat /sys/class/graphics/fb0/name')}
echo c >/proc/sysrq-trigger
`,
    files,
  );
}

interface LastScreen {
  readonly size: string;
  readonly photo: PhotographedLog;
  readonly rows: readonly string[];
}

describe('the last screen', () => {
  test.each([
    ['bochs, with --reset-vga,', bochs, true],
    ['qxl, with --reset-vga,', qxl, true],
    ['virtio_gpu, with --reset-vga,', virtio, true],
    ['virtio_gpu, without it,', virtio, false],
  ])(
    'of %s has the end of the log',
    async (_, adapter, resetVga) => {
      const dir = await payload({
        flavour: 'amd64',
        initrds: [await guest(adapter)],
        crashAppend: 'saveoops.hold=0',
        resetVga,
        name: `screen-${adapter.vga}`,
      });
      const { options, seen } = screenAtReset<LastScreen>(async (qmp, path) => ({
        size: sizeOf(await screenOf(qmp, path)),
        photo: await readPhoto(path),
        rows: await textModeRows(qmp, `${path}.memory`),
      }));
      const extra = [...(options.extra ?? []), '-vga', adapter.vga];
      const result = await bootPayload(dir, { ...options, extra, timeout: 300 });
      captured(result, panicMessage);
      expect(guestBlock(result, 'display')).toEqual([adapter.frameBuffer]);
      check(result, () => {
        const { size, photo, rows } = seen();
        const log = (recoveredLog(result.serial)?.text ?? '').trimEnd().split('\n');
        const shown = photo.log.trimEnd().split('\n');
        expect(size).toBe('640x400');
        expect(shown.length).toBeGreaterThan(20);
        expect(shown).toEqual(log.slice(-shown.length));
        expect(rows[1]).toBe(panicMessage);
      });
    },
    8 * minutes,
  );
});
