/**
 * The last screen where it is hard to show: on adapters whose own DRM driver the primary had loaded, so that the crash kernel finds them in a
 * mode that is not the boot's; and where a code of cells cannot be. `npm run test:screens`. What the code holds is compared with the serial
 * port, as in last-screen.test.ts. The letters beside it are read off the pixels, by the font of QEMU's VGA BIOS, which is of no kernel:
 * most of its characters are drawn as Linux draws them.
 */
import { describe, expect, test } from '@jest/globals';
import { readPhoto, type PhotographedLog } from '../src/panic-code/read-photo.js';
import { recoveredLog } from '../src/machine/recovered-log.js';
import type { Firmware } from '../src/machine/qemu-command.js';
import { bootPayload, captured, check, guestBlock, serialConsole } from './harness/boot.js';
import { guestInitramfs, printBlock } from './harness/guest.js';
import { modulesOf } from './harness/kernel-modules.js';
import { payload } from './harness/payloads.js';
import { asReadByVgaBios, lettersOf, screenOf, sizeOf } from './harness/screen.js';
import { screenAtReset } from './harness/screen-at-reset.js';

const minutes = 60_000;
const vfsPanic = 'Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)';
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

/** The mode that the boot loader or firmware starts the primary in. */
interface Mode {
  /** Of the last screen; undefined: that which firmware has set. */
  readonly size: string | undefined;
  /** On the primary's command line. */
  readonly words?: string;
  readonly firmware?: Firmware;
  readonly resetVga?: boolean;
}

const text: Mode = { size: '640x400' };
const reset: Mode = { size: '640x400', resetVga: true };
const vesa: Mode = { size: '1024x768', words: 'vga=791' };
/** Which mode firmware takes is its own matter, and the driver is told to take another. */
const efi: Mode = { size: undefined, firmware: 'uefi', words: 'video=Virtual-1:800x600' };

/** Loads the driver and panics. */
async function guest({ modules }: Adapter): Promise<string> {
  const files = modules.flatMap((name) => modulesOf('amd64', name));
  const paths = [...new Set(files.map(({ path }) => path))];
  return await guestInitramfs(
    `
for module in ${paths.join(' ')}; do insmod /$module; done
${printBlock('display', 'cat /sys/class/graphics/fb0/name /sys/class/graphics/fb0/virtual_size')}
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

/** Of the last call trace, without what the unwinder is not sure of. */
function traceIn(log: readonly string[]): readonly string[] {
  const lines = log.map((line) => line.replace(/^\[ *\d+\.\d+\] /, ''));
  return lines
    .slice(lines.lastIndexOf('Call Trace:'))
    .filter((line) => /^ [^ ?]+\+0x[0-9a-f]+\/0x/.test(line))
    .map((line) => line.trim());
}

/** What is seen of the last screen. */
function lookAtLastScreen(): ReturnType<typeof screenAtReset<LastScreen>> {
  return screenAtReset(async (qmp, path) => {
    const screen = await screenOf(qmp, path);
    return {
      size: sizeOf(screen),
      photo: await readPhoto(path),
      rows: (await lettersOf(screen)).map(asReadByVgaBios),
    };
  });
}

describe('the last screen', () => {
  test.each([
    ['bochs, in text mode,', bochs, text],
    ['bochs, in text mode with --reset-vga,', bochs, reset],
    ['bochs, on a VESA frame buffer,', bochs, vesa],
    ["bochs, on firmware's frame buffer,", bochs, efi],
    ['qxl, in text mode,', qxl, text],
    ['qxl, in text mode with --reset-vga,', qxl, reset],
    ['qxl, on a VESA frame buffer,', qxl, vesa],
    ['virtio_gpu, in text mode,', virtio, text],
    ['virtio_gpu, in text mode with --reset-vga,', virtio, reset],
    ['virtio_gpu, on a VESA frame buffer,', virtio, vesa],
  ])(
    'of %s has the end of the log, and legible words',
    async (_, adapter, mode) => {
      const dir = await payload({
        flavour: 'amd64',
        initrds: [await guest(adapter)],
        crashAppend: 'saveoops.hold=0',
        resetVga: mode.resetVga ?? false,
        name: `screen-${adapter.vga}`,
      });
      const { options, seen } = lookAtLastScreen();
      const extra = [...(options.extra ?? []), '-vga', adapter.vga];
      const result = await bootPayload(dir, {
        ...options,
        extra,
        extraAppend: `${serialConsole} ${mode.words ?? ''}`,
        firmware: mode.firmware ?? 'bios',
        timeout: 300,
      });
      captured(result, panicMessage);
      const [frameBuffer, driverSize = ''] = guestBlock(result, 'display');
      expect(frameBuffer).toBe(adapter.frameBuffer);
      check(result, () => {
        const { size, photo, rows } = seen();
        const log = (recoveredLog(result.serial)?.text ?? '').trimEnd().split('\n');
        const shown = photo.log.trimEnd().split('\n');
        const [, firmwareSize] = /efifb: mode is (\d+x\d+)x/.exec(result.serial) ?? [];
        expect(size).toBe(mode.size ?? firmwareSize);
        if (mode.size === undefined) expect(driverSize.replace(',', 'x')).not.toBe(size);
        expect(shown.length).toBeGreaterThan(20);
        expect(shown).toEqual(log.slice(-shown.length));
        expect(rows[1]).toBe(asReadByVgaBios(panicMessage));
        expect(rows).toContain(asReadByVgaBios('The machine restarts in 0 seconds.'));
        const trace = traceIn(log);
        expect(trace.length).toBeGreaterThan(5);
        // Under "Take a photograph", a blank line and "Call Trace:".
        const below = rows.slice(13).map((row) => row.slice(31));
        expect(below.slice(0, trace.length)).toEqual(trace.map(asReadByVgaBios));
      });
    },
    8 * minutes,
  );

  test(
    'of a text screen on a machine that is locked down has a code of half blocks, and words beside it',
    async () => {
      const dir = await payload({
        flavour: 'amd64',
        crashAppend: 'saveoops.hold=0 lockdown=integrity',
        name: 'screen-locked',
      });
      const { options, seen } = lookAtLastScreen();
      const result = await bootPayload(dir, { ...options, timeout: 300 });
      captured(result, vfsPanic);
      check(result, () => {
        const { size, photo, rows } = seen();
        const log = (recoveredLog(result.serial)?.text ?? '').trimEnd().split('\n');
        const [first = '', ...others] = photo.log.trimEnd().split('\n');
        expect(size).toBe('720x400');
        expect(first).toBe(vfsPanic);
        for (const line of others) expect(log.join('\n')).toContain(`] ${line}`);
        // On the left, in 34 columns.
        const words = rows.map((row) => row.slice(0, 34).trim());
        expect(words.join(' ')).toContain(asReadByVgaBios(vfsPanic));
        expect(words).toContain(asReadByVgaBios('The machine restarts in 0 seconds.'));
        expect(words).toEqual(expect.arrayContaining(traceIn(log).slice(0, 3).map(asReadByVgaBios)));
      });
    },
    8 * minutes,
  );
});
