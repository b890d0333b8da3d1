/** What boots: media, loaders, every entry of the configuration; and that `saveoops inspect` tells the same story. */
import { execFileSync } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { runInspect } from '../src/commands/inspect.js';
import { withTemporaryFolder } from '../src/host/files.js';
import { partitionStart, sectorSize } from '../src/image/fat-geometry.js';
import { readManifest } from '../src/image/payload-folder.js';
import type { ScenarioResult } from '../src/machine/scenario.js';
import { serialLines } from '../src/machine/serial-text.js';
import { few } from '../src/testkit/lanes.js';
import { bootComposed } from './composed.js';
import { bootPayload, captured, check, guestBlock, serialConsole } from './harness/boot.js';
import { repository } from './harness/folders.js';
import { guestInitramfs } from './harness/guest.js';
import { payload } from './harness/payloads.js';
import { readState, stateGuest } from './state-guest.js';

const limit = 240_000;
const vfsPanic = 'Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)';

/** Two archives, each with a file of its own; the second one's init is the one that runs. */
async function twoInitrds(): Promise<readonly string[]> {
  const source = join(repository, 'package.json');
  return [
    await guestInitramfs('echo "init of the first archive"\npoweroff -f\n', [{ path: 'first', source }]),
    await stateGuest([{ path: 'second', source }]),
  ];
}

/** As the host's blkid reads it from the image's only partition. */
function uuidOf(image: string): string {
  const args = ['-p', '-O', String(partitionStart * sectorSize), '-s', 'UUID', '-o', 'value', image];
  return execFileSync('/usr/sbin/blkid', args, { encoding: 'utf8' }).trim();
}

/** What the crash kernel itself said on the serial port: behind the crash stub's last word. */
function crashCommandLine({ serial }: ScenarioResult): string {
  const said = /^\[ *\d+\.\d+\] Command line: (.*)$/;
  return serialLines(serial.slice(serial.indexOf('starting the crash kernel')))
    .flatMap((line) => said.exec(line)?.[1] ?? [])
    .slice(0, 1)
    .join();
}

describe('one payload', () => {
  test.each(
    few(2, [
      ['FAT', 'initrds beside it', 'disk', true],
      ['ISO 9660', 'initrds in the payload', 'iso', false],
      ['FAT', 'initrds in the payload', 'disk', false],
      ['ISO 9660', 'initrds beside it', 'iso', true],
    ] as const),
  )(
    'boots armed from %s with two %s',
    async (_, __, media, initrdBeside) => {
      const dir = await payload({
        flavour: 'cloud-amd64',
        initrds: await twoInitrds(),
        initrdBeside,
        name: initrdBeside ? 'beside' : 'embedded',
      });
      const result = await bootPayload(dir, { media });
      check(result, () => {
        const { nodes, cmdline } = readState(guestBlock(result, 'state'));
        expect(nodes).toMatchObject([{ reason: 0 }]);
        expect(cmdline).toMatch(/^BOOT_IMAGE=saveoops\.c32 /);
        // Syslinux knows the file system's UUID by itself, but no ISO's.
        expect(cmdline.match(/ saveoops\.boot=.*/)?.[0]).toBe(
          media === 'iso'
            ? undefined
            : ` saveoops.boot=${uuidOf(join(dirname(result.serialLog), 'boot.img'))}`,
        );
        expect(guestBlock(result, 'files')).toEqual(expect.arrayContaining(['first', 'second']));
      });
    },
    limit,
  );

  test(
    'as a bzImage alone boots from another loader, and is captured; words that do not fit are left out, and it says so',
    async () => {
      const append = `saveoops.one=1 saveoops.long=${'x'.repeat(1900)}`;
      const result = await bootComposed({ name: 'bzimage', flavour: 'cloud-amd64', append });
      captured(result, vfsPanic);
      check(result, () => {
        expect(serialLines(result.serial)).toContain(
          'saveoops: E11 armed; the saveoops. words do not fit the crash command line',
        );
        expect(crashCommandLine(result)).toMatch(/ elfcorehdr=\d+K$/);
      });
    },
    limit,
  );
});

describe('each entry of the configuration boots', () => {
  const build = async (): Promise<string> =>
    await payload({
      flavour: 'cloud-amd64',
      initrds: [await stateGuest()],
      crashAppend: 'saveoops.hold=0',
      name: 'entries',
    });

  test(
    'saveoops-plain: the same kernel and initrd, without Saveoops',
    async () => {
      const dir = await build();
      const { memory, primary } = await readManifest(dir);
      const result = await bootPayload(dir, { label: 'saveoops-plain' });
      check(result, () => {
        const { nodes, cmdline, reserved } = readState(guestBlock(result, 'state'));
        expect(nodes).toEqual([]);
        expect(reserved).not.toContain(memory.size);
        expect(cmdline).toContain(`BOOT_IMAGE=${primary.kernelFile} `);
      });
    },
    limit,
  );

  test(
    'saveoops-crash: the crash kernel comes up, finds no crash, and reboots',
    async () => {
      const dir = await build();
      const { crash } = await readManifest(dir);
      const result = await bootPayload(dir, { label: 'saveoops-crash', extraAppend: '' });
      check(result, () => {
        const lines = serialLines(result.serial);
        expect(result.serial).toContain(`Linux version ${crash.release}`);
        expect(lines).toContain(
          'saveoops: no /proc/vmcore: this kernel was not started by a crash (no elfcorehdr= on its command line)',
        );
        expect(lines).toContain('saveoops: reboot in 0 seconds');
        expect(result.end).toMatchObject({ kind: 'exit', code: 0 });
      });
    },
    limit,
  );

  test(
    'saveoops-test: panics on purpose, whatever initrd there is, and is captured',
    async () => {
      const words = 'saveoops.hold=1 saveoops.not saveoops.hold=0';
      const extraAppend = `${serialConsole} ${words} nosaveoops.here=1 saveoops.boot=MINE`;
      const result = await bootPayload(await build(), { label: 'saveoops-test', extraAppend });
      const log = captured(result, 'Kernel panic - not syncing: VFS: Unable to mount root fs');
      check(result, () => {
        expect(log).toContain('rdinit=/saveoops-test');
        // The primary's words for Saveoops, in order; what is given by hand the loader leaves as it is.
        expect(crashCommandLine(result)).toMatch(
          new RegExp(` elfcorehdr=\\d+K ${words.replaceAll('.', '\\.')} saveoops\\.boot=MINE$`),
        );
      });
    },
    limit,
  );
});

describe('saveoops inspect', () => {
  const inspect = async (file: string): Promise<string> => {
    let text = '';
    await runInspect({ file, json: true }, { out: (part) => (text += part) });
    return text;
  };
  const build = async (): Promise<string> =>
    await payload({ flavour: 'cloud-amd64', initrds: await twoInitrds(), name: 'embedded' });

  test('gives the manifest back from the file that boots', async () => {
    const dir = await build();
    expect(JSON.parse(await inspect(join(dir, 'saveoops.c32')))).toEqual(await readManifest(dir));
  });

  test('names the region of any flipped byte', async () => {
    const dir = await build();
    const { regions } = await readManifest(dir);
    const good = await readFile(join(dir, 'saveoops.c32'));
    await withTemporaryFolder(async (folder) => {
      const file = join(folder, 'saveoops.c32');
      // The module's region holds the ELF header, by which inspect finds everything: its last bytes are padding.
      for (const { name, offset, size } of regions) {
        const bad = Buffer.from(good);
        const at = name === 'module' ? offset + size - 1 : offset + (size >> 1);
        bad.writeUInt8(bad.readUInt8(at) ^ 1, at);
        await writeFile(file, bad);
        await expect(inspect(file)).rejects.toMatchObject({
          kind: 'digest',
          found: expect.stringContaining(`${name}: `),
        });
      }
    });
  }, 60_000);
});
