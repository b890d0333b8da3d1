/**
 * A stock kernel panics and its log comes back: from its first C function to the root that it cannot mount.
 *
 * Six functions and the real VFS panic, on both kernels, 1 and 2 CPUs, with KASLR and without, from disk and CD. The
 * full product has 112 lanes; by default each place has one. All of them: `npm run test:all`, or a part by jest's -t,
 * which selects by the lanes' names.
 */
import { describe, expect, test } from '@jest/globals';
import { logBegins } from '../src/capture-initramfs/markers.js';
import { readManifest } from '../src/image/payload-folder.js';
import type { InjectedPanic } from '../src/machine/inject-panic.js';
import { everyLane, few } from '../src/testkit/lanes.js';
import { bootPayload, captured, check, guestBlock, serialConsole } from './harness/boot.js';
import { guestInitramfs, printBlock } from './harness/guest.js';
import { payload, type Flavour } from './harness/payloads.js';
import { injectorFor } from './inject.js';

const mount = 'mount';
const vfsPanic = 'Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)';
const places = [
  'start_kernel',
  'setup_arch',
  'setup_per_cpu_areas',
  'console_init',
  'rest_init',
  'kernel_init_freeable',
  mount,
] as const;

interface Lane {
  readonly place: (typeof places)[number];
  readonly flavour: Flavour;
  readonly cpus: number;
  readonly kaslr: boolean;
  readonly media: 'disk' | 'iso';
}

function lane(place: Lane['place'], bits: number): Lane {
  return {
    place,
    flavour: (bits & 1) === 0 ? 'amd64' : 'cloud-amd64',
    cpus: (bits & 2) === 0 ? 1 : 2,
    kaslr: (bits & 4) === 0,
    media: (bits & 8) === 0 ? 'disk' : 'iso',
  };
}

/** Over any two bits these take all four combinations, and so do their complements: every other place has one of those. */
const rows = [0b0000, 0b0011, 0b0101, 0b0110];
const covering = places.map((place, index) => {
  const bits = rows[index % rows.length] ?? 0;
  return lane(place, index % 2 === 0 ? bits : ~bits & 15);
});
const product = places.flatMap((place) => Array.from({ length: 16 }, (_, bits) => lane(place, bits)));
const lanes = everyLane ? product : covering;

const nameOf = ({ place, flavour, cpus, kaslr, media }: Lane): string =>
  `${place}, ${flavour}, ${cpus} CPU, ${kaslr ? 'KASLR' : 'nokaslr'}, ${media}`;

describe('the log of a panic comes back', () => {
  test.each(lanes.map((each) => [nameOf(each), each] as const))(
    '%s',
    async (_, { place, flavour, cpus, kaslr, media }) => {
      const dir = await payload({ flavour, name: `bare-${flavour}` });
      const { primary } = await readManifest(dir);
      const injector = await injectorFor(dir);
      const message = place === mount ? vfsPanic : `Injected at ${place} ${Date.now().toString(36)}`;
      let injected: InjectedPanic | undefined;
      const result = await bootPayload(dir, {
        cpus,
        media,
        extraAppend: kaslr ? serialConsole : `${serialConsole} nokaslr`,
        ...(place !== mount && {
          debug: async (gdb): Promise<void> => {
            injected = await injector.panicAt(gdb, place, message);
          },
        }),
      });
      const log = captured(result, message);
      check(result, () => {
        // start_kernel comes before the kernel's banner; each panic names the kernel that it is of.
        expect(log).toContain(` ${primary.release} #`);
        if (place !== 'start_kernel') expect(log).toContain(`Linux version ${primary.release}`);
        if (place !== mount) {
          // The panic's own trace: the harness entered panic() from this function.
          expect(log).toMatch(new RegExp(` ${place}\\+0x1/`));
          if (!kaslr) expect(injected?.kaslrOffset).toBe(0n);
        } else if (cpus === 2) {
          expect(log).toMatch(/Brought up 1 node, 2 CPUs/);
        }
      });
    },
    240_000,
  );

  test.each(
    few(1, [
      ['5-level page tables', '', true],
      ['4-level page tables on a CPU that has 5', ' no5lvl', false],
    ]),
  )(
    'of a primary with %s, SMEP and SMAP',
    async (_, option, la57) => {
      const flags = "tr ' ' '\\n' </proc/cpuinfo | grep -xE 'la57|smap|smep' | sort";
      const guest = await guestInitramfs(`${printBlock('flags', flags)}echo c >/proc/sysrq-trigger\n`);
      const dir = await payload({ flavour: 'amd64', initrds: [guest], name: 'cpu-flags' });
      const result = await bootPayload(dir, {
        extraAppend: serialConsole + option,
        extra: ['-cpu', 'max'],
      });
      captured(result, 'Kernel panic - not syncing: sysrq triggered crash');
      check(result, () => {
        // The kernel hides la57 when it does not use it.
        expect(guestBlock(result, 'flags')).toEqual([...(la57 ? ['la57'] : []), 'smap', 'smep']);
      });
    },
    240_000,
  );

  test('of a primary without a serial console', async () => {
    const dir = await payload({ flavour: 'amd64', name: 'bare-amd64' });
    const result = await bootPayload(dir, { extraAppend: '' });
    const log = captured(result, vfsPanic);
    check(result, () => {
      expect(log).not.toContain('console=ttyS0');
      // Whatever is known of the panic came through the crash kernel.
      const before = result.serial.slice(0, result.serial.indexOf(logBegins));
      expect(before).not.toContain('Kernel panic');
    });
  }, 240_000);
});
