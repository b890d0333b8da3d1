/**
 * The real test, machines that start by GRUB, by BIOS (with a /boot partition) and by UEFI (without one): `npm run test:debian`, not
 * part of `npm test`. A Debian 13 as its packages install it gets the package and is armed, while all that its disk is told to write is
 * recorded. What was typed and printed is kept in .cache/debian/LOADER.txt: docs/distributors.md quotes it.
 */
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { debianImage, type DebianLoader } from './debian/image.js';
import { dieAndAsk } from './debian/die-and-ask.js';
import {
  apt,
  armed,
  builtPackage,
  crash,
  newerKernel,
  notYetGood,
  powerOff,
  release,
  settled,
  typed,
} from './debian/orders.js';
import { afterPowerCut, readRecord, replay } from './debian/recorded-writes.js';
import { block, copyImage, DebianSystem, unpack, type DebianBoot } from './debian/system.js';
import { Transcript, type Blocks } from './debian/transcript.js';
import { blockBegins, blockEnds, printBlock } from './harness/guest.js';
import { injectorFor } from './inject.js';

const minutes = 60_000;

const places = "find /boot /etc/grub.d /etc/default ! -path '/boot/saveoops/2*' ! -name in-a-row";
/** Digests of all that boots, but captures and their count. */
const bootFiles = `{ ${places} -type f -exec sha256sum '{}' +; ${places} -type l -printf 'link %p -> %l\\n'; } | sort -k 2`;
/** GRUB, which does not know what to boot. */
const grubPrompt = /^grub(?: rescue)?> *$/;

describe.each<DebianLoader>(['grub-pc', 'grub-efi'])('an installed Debian with %s', (loader) => {
  const folder = mkdtempSync(join(tmpdir(), 'svo-grub-'));
  const record = join(folder, 'record');
  const armedImage = join(folder, 'armed.img');
  /** Bytes of the record when `saveoops update` began and when it had ended. */
  const update = { begins: 0, ends: 0 };
  let transcript: Transcript;
  let old = '';
  let arming: Blocks = {};
  let system: DebianSystem;

  const boot = async (
    orders: readonly string[],
    wanted: readonly string[],
    more: DebianBoot = {},
  ): Promise<Blocks> => await transcript.boot(system, orders, wanted, more);

  const reportOf = async (death: DebianBoot): Promise<string> =>
    (await dieAndAsk(system, { timeout: 3600, ...death })).report;

  beforeAll(async () => {
    transcript = new Transcript(loader);
    system = new DebianSystem(await debianImage(loader), loader);
    const deb = builtPackage();
    arming = await boot(
      [
        ...[unpack, `${bootFiles} >/root/boot-files\n`],
        typed('install', `${apt} install ./${basename(deb)}`),
        printBlock('untouched', `${bootFiles} | diff /root/boot-files -`),
        'sync\n',
        typed(
          'arm',
          // Where /boot is no partition of its own: with the modules of this machine's disk alone.
          ...(loader === 'grub-pc' ? [] : ["echo 'host-only: true' >>/etc/saveoops.yaml"]),
          "echo 'save: boot' >>/etc/saveoops.yaml",
          'saveoops update --enable grub',
          'grub-editenv list',
        ),
        ...[release, powerOff],
      ],
      ['install', 'untouched', 'arm', 'release'],
      {
        extra: system.bring([deb]),
        record,
        meanwhile: async (machine) => {
          const at = async (line: string): Promise<number> => {
            await machine.waitForLine([new RegExp(`^${line}`)], { timeoutMs: 3600_000 });
            return statSync(record).size;
          };
          update.begins = await at(blockBegins('arm'));
          update.ends = await at(blockEnds('arm'));
        },
      },
    );
    [old = ''] = arming['release'] ?? [];
    // Node takes up to a minute for it on this emulated processor.
    system.quietLogin();
    copyImage(system.image, armedImage);
    system.remove();
  }, 120 * minutes);
  afterAll(() => {
    rmSync(folder, { recursive: true, force: true });
  });
  beforeEach(() => {
    system = new DebianSystem(armedImage, loader);
  });
  afterEach(() => {
    system.remove();
  });

  test('is armed by one command; the package alone changes nothing', () => {
    expect(arming['untouched']).toEqual([]);
    expect(arming['arm']).toContain(`saveoops: ${old}: armed`);
  });

  test(
    'boots after a power cut at ten moments of that command, and can be armed then',
    async () => {
      const all = readRecord(record);
      const writtenBy = (size: number): number => all.filter(({ end }) => end <= size).length;
      const [first, last] = [writtenBy(update.begins), writtenBy(update.ends)];
      expect(last - first).toBeGreaterThan(20);
      const base = await debianImage(loader);
      const seen: string[] = [];
      for (let moment = 1; moment <= 10; moment++) {
        const count = first + Math.round(((last - first) * moment) / 10);
        const writes = all.slice(0, count);
        system.remove();
        system = new DebianSystem(base, loader);
        // At every second one the disk loses what it had not yet written.
        replay(record, moment % 2 === 0 ? afterPowerCut(writes) : writes, system.image);
        system.quietLogin();
        const goesOn = moment === 5 || moment === 10;
        const cut = await system.boot({
          orders: [armed(), ...(moment === 5 ? ['saveoops update\n'] : []), powerOff].join(''),
          ...(!goesOn && { endAt: [new RegExp(`^${blockEnds('armed')}`)], forget: true }),
          endAtPrompt: [grubPrompt],
          timeout: 3600,
        });
        const how = block(cut, 'armed').length > 0 ? 'armed' : 'plain';
        const then = goesOn ? (await boot([armed(), powerOff], ['armed']))['armed'] : undefined;
        // GRUB does not read ext4's journal: it sees what is new only when a kernel has mounted the file system.
        if (goesOn) expect([moment, then]).toEqual([moment, ['0']]);
        seen.push(`${count - first} of ${last - first}: ${how}${goesOn ? ', then armed' : ''}`);
      }
      transcript.add('-- power cut after writes', ...seen);
    },
    240 * minutes,
  );

  /** The armed entry with more words, once, as a person makes it: in custom.cfg, by grub-reboot. */
  const onceWith = async (words: string): Promise<void> => {
    const entry = `sed -n "/menuentry_id_option 'saveoops' {/,/^}/p" /boot/grub/grub.cfg`;
    const changed = `s/menuentry_id_option 'saveoops'/menuentry_id_option 'once'/; s,^\tlinux.*,& ${words},`;
    await boot([`${entry} | sed "${changed}" >/boot/grub/custom.cfg\ngrub-reboot once\n`, powerOff], []);
  };

  test(
    "tells of a panic in a driver's probe, before userspace",
    async () => {
      const injector = await injectorFor(system.payloadFolder(old));
      // Where GRUB puts the entry stub, which would tell the kernel's place, is not known beforehand.
      await onceWith('nokaslr');
      const report = await reportOf({
        debug: async (gdb) => {
          const place = { kind: 'known', offset: 0n } as const;
          await injector.panicAt(gdb, 'i8042_probe', 'keyboard controller on fire', place);
        },
      });
      expect(report).toContain('Kernel panic - not syncing: keyboard controller on fire');
      expect(report).toContain('i8042_probe');
    },
    60 * minutes,
  );

  // As with an initramfs that the kernel cannot unpack: the disk's driver is in there.
  test(
    'tells of a root file system whose disk has no driver',
    async () => {
      await onceWith('rdinit=/missing');
      const report = await reportOf({});
      expect(report).toContain(
        'Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)',
      );
    },
    60 * minutes,
  );

  if (loader === 'grub-pc') {
    test(
      'with /boot full in the middle of a kernel upgrade boots, says so, and is armed once there is room',
      async () => {
        const newer = newerKernel();
        const full = await boot(
          [
            unpack,
            // Room for the kernel and its initramfs, not for a payload.
            'fallocate -l $(($(df --output=avail -B1 /boot | tail -n 1) - 40 * 1048576)) /boot/filled\n',
            typed('upgrade', `${apt} install ./${basename(newer.deb)}`, 'df -h /boot'),
            powerOff,
          ],
          ['upgrade'],
          { extra: system.bring([newer.deb]) },
        );
        const said = full['upgrade']?.join('\n');
        expect(said).toContain('saveoops: no room for the new payload');
        expect(said).toContain(`saveoops: ${newer.release} is not armed; its plain entry boots`);
        const freed = await boot(
          [
            armed(),
            release,
            'rm /boot/filled\n',
            typed('room', 'saveoops status', 'saveoops update'),
            powerOff,
          ],
          ['armed', 'release', 'room'],
        );
        expect(freed['room']).toContain(`saveoops: ${newer.release}: armed`);
        const then = await boot([armed(), release, powerOff], ['armed', 'release']);
        expect([then['armed'], then['release']]).toEqual([['0'], [newer.release]]);
      },
      120 * minutes,
    );
  }

  test(
    'falls back after three deaths, tells of them, has a newer kernel armed, and is as before in the end',
    async () => {
      for (const death of ['first', 'second', 'third']) {
        const asked = death === 'first' ? ['status'] : [];
        const orders = [...asked.map((name) => typed(name, 'saveoops status')), armed(), crash];
        const died = await boot([notYetGood, ...orders], ['armed', ...asked]);
        expect([death, died['armed'], died['reasons']]).toEqual([death, ['0'], ['guest-reset']]);
        if (death === 'first') expect(died['status']?.[1]).toMatch(/^saveoops: armed/);
      }

      const newer = newerKernel();
      const fallen = await boot(
        [
          ...[settled, armed()],
          typed('fallback', 'saveoops status', 'cat /proc/cmdline', 'grub-editenv list'),
          ...[typed('report', 'saveoops captures', 'saveoops report last'), unpack],
          typed('upgrade', `${apt} install ./${basename(newer.deb)}`, 'ls /boot /boot/saveoops'),
          powerOff,
        ],
        ['armed', 'fallback', 'report', 'upgrade'],
        { extra: system.bring([newer.deb]) },
      );
      expect(fallen['armed']).toEqual([]);
      expect(fallen['fallback']?.join('\n')).toContain('panicked 3 times in a row');
      expect(fallen['fallback']?.slice(-2)).toEqual(['saveoops_capture=', 'next_entry=']);
      expect(fallen['report']?.join('\n')).toContain('Kernel panic - not syncing: sysrq triggered crash');
      expect(fallen['upgrade']).toContain(`saveoops: ${newer.release}: armed`);

      const after = await boot(
        [
          ...[armed(), release, notYetGood],
          typed('entries', "grep -o \"menuentry '[^']*'\" /boot/grub/grub.cfg", 'ls /boot/saveoops/*'),
          typed('purge', `${apt} purge saveoops`),
          `${bootFiles} >/root/after\n`,
          printBlock('changed', `diff /root/boot-files /root/after | sed -n 's/^[<>] [^ ]* *//p' | sort -u`),
          printBlock('update-grub', `update-grub 2>/dev/null\n${bootFiles} | diff /root/after -`),
          powerOff,
        ],
        ['armed', 'release', 'entries', 'purge', 'changed', 'update-grub'],
      );
      expect([after['armed'], after['release']]).toEqual([['0'], [newer.release]]);
      expect(after['entries']?.join('\n')).toContain(`with Linux ${old}, armed`);
      // The newer kernel's own, and the menu as update-grub writes it.
      const own = [
        `System.map-${newer.release}`,
        `config-${newer.release}`,
        'grub/grub.cfg',
        `initrd.img-${newer.release}`,
        `vmlinuz-${newer.release}`,
      ];
      expect([...(after['changed'] ?? [])].sort()).toEqual(own.map((name) => `/boot/${name}`).sort());
      expect(after['update-grub']).toEqual([]);
    },
    360 * minutes,
  );
});
