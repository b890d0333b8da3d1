/**
 * One flipped byte, anywhere: the machine boots all the same, and says what is wrong; or, when the byte flips after
 * the boot, panic() goes on as if Saveoops were not there.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { logBegins } from '../src/capture-initramfs/markers.js';
import { xxh32 } from '../src/bytes/digests.js';
import { readManifest } from '../src/image/payload-folder.js';
import type { ScenarioResult } from '../src/machine/scenario.js';
import { serialLines } from '../src/machine/serial-text.js';
import type { Manifest } from '../src/payload/manifest.js';
import {
  offsetOf,
  partDef,
  partNames,
  planDef,
  regionPlaces,
  structSize,
  type PartName,
} from '../src/stubs/shared-layout.js';
import { loadStubObjects, requireSymbol } from '../src/stubs/stub-objects.js';
import { few, thorough } from '../src/testkit/lanes.js';
import { bootComposed } from './composed.js';
import { bootPayload, check, guestBlock, serialConsole } from './harness/boot.js';
import { payload, type Flavour } from './harness/payloads.js';
import { damageRegion } from './harness/region.js';
import { injectorFor } from './inject.js';
import { readState, stateGuest } from './state-guest.js';

const limit = 240_000;

/** A payload whose guest says how it was booted. The console is on every entry's line: the plain one talks too. */
async function talkative(crashKernel?: Flavour, flavour?: Flavour): Promise<string> {
  return await payload({
    flavour: flavour ?? (crashKernel === undefined ? 'cloud-amd64' : 'amd64'),
    append: serialConsole,
    initrds: [await stateGuest()],
    name: 'damage',
    ...(crashKernel !== undefined && { crashKernel }),
  });
}

/** Flips one bit in the middle of a region of saveoops.c32, or at an offset in it. */
async function flip(folder: string, region: string, at?: number): Promise<void> {
  const { regions } = await readManifest(folder);
  const found = regions.find((each) => each.name === region);
  if (found === undefined) throw new Error(`no region ${region}: ${regions.map((r) => r.name).join(' ')}`);
  const path = join(folder, 'saveoops.c32');
  const file = await readFile(path);
  const part = file.subarray(found.offset, found.offset + found.size);
  flipBit(part, at ?? part.length >> 1);
  await writeFile(path, file);
}

function flipBit(bytes: Buffer, at: number): void {
  bytes.writeUInt8(bytes.readUInt8(at) ^ 0x10, at);
}

/** Offset in the entry stub of a word in the middle of struct plan. */
async function insidePlan(): Promise<number> {
  const { entry } = await loadStubObjects();
  return Number(requireSymbol(entry.symbols, 'plan', 'entry.elf').value) + (structSize(planDef) >> 1);
}

async function lastOfModule(folder: string): Promise<number> {
  const { regions } = await readManifest(folder);
  return (regions.find((each) => each.name === 'module')?.size ?? 0) - 1;
}

/** Saveoops' own lines; those that the kernel prints for it have a time stamp. */
const saveoopsLines = (result: ScenarioResult): readonly string[] =>
  serialLines(result.serial)
    .map((line) => line.replace(/^\[ *\d+\.\d+\] /, ''))
    .filter((line) => line.startsWith('saveoops: '));

const foundByHook = 'saveoops: E32 not captured: the crash stub or its tables are damaged';

describe('a damaged payload boots unarmed, through the entry stub', () => {
  test.each(
    few(2, [
      ['the capture initramfs', 'crash-initrd', 2, undefined, undefined],
      ['the edits', 'edits', 9, undefined, undefined],
      ['the kernel that is armed, when it is no LZ4', 'vmlinux', 0, undefined, 'amd64'],
      ['a crash kernel of its own', 'crash-kernel', 1, 'cloud-amd64', undefined],
    ] as const),
  )(
    '%s',
    async (_, region, part, crashKernel, flavour) => {
      const dir = await talkative(crashKernel, flavour);
      const result = await bootPayload(dir, { endAt: [], edit: (folder) => flip(folder, region) });
      check(result, () => {
        expect(saveoopsLines(result)).toEqual([
          `saveoops: E03 not armed: part ${part} of the payload is damaged`,
        ]);
        const { nodes, cmdline } = readState(guestBlock(result, 'state'));
        expect(nodes).toEqual([{ version: 2, reason: 3, regionSize: 0 }]);
        expect(cmdline).toMatch(/^BOOT_IMAGE=saveoops\.c32 /);
      });
    },
    limit,
  );

  test(
    'its plan, in an image that another loader boots',
    async () => {
      const place = await insidePlan();
      const result = await bootComposed({
        name: 'damaged-plan',
        flavour: 'cloud-amd64',
        initrd: await stateGuest(),
        edit: (image, { debug }) => {
          const setupSize = 512 * (1 + image.readUInt8(0x1f1)); // setup_sects
          flipBit(image, setupSize + debug.stub + place);
        },
      });
      check(result, () => {
        expect(saveoopsLines(result)).toEqual(['saveoops: E02 not armed: the plan in the image is damaged']);
        expect(readState(guestBlock(result, 'state')).nodes).toEqual([]);
      });
    },
    limit,
  );
});

/** The plan of a composed image, and one of its parts. */
async function partOf(
  image: Buffer,
  { debug }: Manifest,
  name: PartName,
): Promise<{ plan: Buffer; part: Buffer; bytes: Buffer }> {
  const { entry } = await loadStubObjects();
  const start = 512 * (1 + image.readUInt8(0x1f1)); // setup_sects
  const planAt = start + debug.stub + Number(requireSymbol(entry.symbols, 'plan', 'entry.elf').value);
  const plan = image.subarray(planAt, planAt + structSize(planDef));
  const part = plan.subarray(offsetOf(planDef, 'part') + partNames.indexOf(name) * structSize(partDef));
  const at = start + part.readUInt32LE(offsetOf(partDef, 'offset'));
  return { plan, part, bytes: image.subarray(at, at + part.readUInt32LE(offsetOf(partDef, 'size'))) };
}

/** Puts the sums right again. */
function seal({ plan, part, bytes }: { plan: Buffer; part: Buffer; bytes: Buffer }): void {
  part.writeUInt32LE(xxh32(bytes), offsetOf(partDef, 'xxh32'));
  plan.writeUInt32LE(0, offsetOf(planDef, 'xxh32'));
  plan.writeUInt32LE(xxh32(plan), offsetOf(planDef, 'xxh32'));
}

/**
 * Damages the last LZ4 block of the armed kernel and puts every checksum right again: the entry stub notices only
 * when it has moved into the crash region and written most of the kernel.
 */
async function spoilLastBlock(image: Buffer, manifest: Manifest): Promise<void> {
  const found = await partOf(image, manifest, 'VMLINUX');
  const { bytes } = found;
  let last = 4; // behind the magic: each block is its size and so many bytes
  for (let next = last; next < bytes.length; next += 4 + bytes.readUInt32LE(next)) last = next;
  bytes.writeUInt32LE(bytes.readUInt32LE(last) + 1, last);
  seal(found);
}

/** The last edit expects other bytes than those of the kernel: the others are applied by then. */
async function spoilLastEdit(image: Buffer, manifest: Manifest): Promise<void> {
  const found = await partOf(image, manifest, 'EDITS');
  flipBit(found.bytes, found.bytes.length - 16); // two pointers: before, after
  seal(found);
}

describe('a kernel that proves bad when it is unpacked already: the boot goes on unarmed', () => {
  test.each(
    few(1, [
      ['cloud-amd64', spoilLastEdit, 14, 'the kernel image does not hold what the build has found in it'],
      ['amd64', spoilLastBlock, 8, 'the kernel image does not decompress'],
    ] as const),
  )(
    '%s',
    async (flavour, edit, reason, why) => {
      const name = `unpacked-E${reason}`;
      const result = await bootComposed({ name, flavour, initrd: await stateGuest(), edit });
      check(result, () => {
        const number = String(reason).padStart(2, '0');
        expect(saveoopsLines(result)).toEqual([`saveoops: E${number} not armed: ${why}`]);
        const { nodes } = readState(guestBlock(result, 'state'));
        expect(nodes).toEqual([{ version: 2, reason, regionSize: 0 }]);
      });
    },
    limit,
  );
});

describe('a damaged payload boots the plain entry', () => {
  const checkPlain = async (dir: string, result: ScenarioResult): Promise<void> => {
    const { primary } = await readManifest(dir);
    check(result, () => {
      const { nodes, cmdline } = readState(guestBlock(result, 'state'));
      expect(nodes).toEqual([]);
      expect(cmdline).toContain(`BOOT_IMAGE=${primary.kernelFile} `);
      expect(result.end).toMatchObject({ kind: 'exit', code: 0 });
    });
  };

  test.each(
    few(2, [
      ["the module's last byte", 'module', 'E20', 'the module is damaged', lastOfModule],
      ["the primary's own bzImage", 'primary', 'E24', 'the kernel image is damaged', undefined],
      ['its setup sectors', 'setup', 'E24', 'the kernel image is damaged', undefined],
      ['the plan', 'entry-stub', 'E24', 'the kernel image is damaged', insidePlan],
      ['an embedded initrd', 'initrd-0', 'E24', 'an initrd is damaged', undefined],
    ]),
  )(
    '%s',
    async (_, region, number, why, find) => {
      const dir = await talkative();
      const result = await bootPayload(dir, {
        endAt: [],
        edit: async (folder) => flip(folder, region, await find?.(folder)),
      });
      check(result, () => {
        expect(saveoopsLines(result)).toEqual([
          `saveoops: ${number} not armed: ${why}; booting "saveoops-plain"`,
        ]);
      });
      await checkPlain(dir, result);
    },
    limit,
  );

  test(
    "the module's ELF magic, by ONTIMEOUT of the configuration",
    async () => {
      const dir = await talkative();
      const result = await bootPayload(dir, {
        endAt: [],
        edit: async (folder) => {
          await flip(folder, 'module', 1);
          // The configuration that ships, and the boot loader's own output on the serial port.
          const config = await readFile(join(dir, 'syslinux.cfg'), 'utf8');
          await writeFile(join(folder, 'syslinux.cfg'), `SERIAL 0 115200\n${config}`);
        },
      });
      check(result, () => {
        expect(saveoopsLines(result)).toEqual([]);
      });
      await checkPlain(dir, result);
    },
    limit,
  );
});

thorough(
  'a kernel whose memory is encrypted leaves panic() to itself',
  async () => {
    const dir = await talkative();
    const { facts, debug } = await readManifest(dir);
    const injector = await injectorFor(dir);
    const message = `Injected into encrypted memory ${Date.now().toString(36)}`;
    // SLOT_ENCRYPTION (stubs/include/hook-slots.h) lies behind the sum. No such processor is here: any bit that CR3 has will do.
    const sum = BigInt(facts.find(({ name }) => name === 'hook sum')?.value ?? 0);
    const bits = Buffer.alloc(8);
    bits.writeBigUInt64LE(0x000ffffffffff000n);
    const result = await bootPayload(dir, {
      endAt: [],
      extraAppend: `${serialConsole} nokaslr panic=1`,
      debug: async (gdb) => {
        await injector.standAtPanic(gdb, 'kernel_init_freeable', message, { kind: 'payload', debug });
        await gdb.writeMemory(sum + 8n, bits);
        await gdb.detach();
      },
    });
    check(result, () => {
      expect(result.serial).toContain(`Kernel panic - not syncing: ${message}`);
      expect(result.serial).not.toContain(logBegins);
      expect(saveoopsLines(result)).toEqual(['saveoops: E34 not captured: memory is encrypted']);
      expect(result.serial).toContain('Rebooting in 1 seconds..');
    });
  },
  limit,
);

describe('damage in RAM after the boot leaves panic() to itself', () => {
  test.each(
    few(2, [
      [
        'the crash kernel',
        regionPlaces.CRASH_KERNEL + 0x123456,
        ['saveoops: E30 not captured, SHA-256 differs: crash kernel'],
      ],
      [
        "the crash kernel's command line",
        regionPlaces.CMDLINE,
        ['saveoops: E30 not captured, SHA-256 differs: boot_params'],
      ],
      ['the crash stub', regionPlaces.CRASH_STUB + 0x40, [foundByHook]],
      ['its page tables: the first GiB', regionPlaces.PAGE_TABLES + 0x1000, [foundByHook]],
      ['its page tables: its window', regionPlaces.PAGE_TABLES + 0x2000, [foundByHook]],
    ]),
  )(
    '%s',
    async (_, place, said) => {
      const dir = await talkative();
      const { memory } = await readManifest(dir);
      const injector = await injectorFor(dir);
      const message = `Injected into a damaged region ${Date.now().toString(36)}`;
      const result = await bootPayload(dir, {
        endAt: [],
        extraAppend: `${serialConsole} nokaslr panic=1`,
        ...damageRegion(
          injector.addressOf('rest_init'),
          memory.size,
          place,
          (bytes) => {
            bytes.writeUInt8(bytes.readUInt8(0) ^ 1, 0); // of a page table's entry: present
            return bytes;
          },
          (gdb) => injector.panicAt(gdb, 'kernel_init_freeable', message, { kind: 'known', offset: 0n }),
        ),
      });
      check(result, () => {
        expect(result.serial).toContain(`Kernel panic - not syncing: ${message}`);
        expect(result.serial).not.toContain(logBegins);
        expect(saveoopsLines(result)).toEqual(said);
        expect(result.serial).toContain('Rebooting in 1 seconds..');
        expect(result.end).toMatchObject({ kind: 'exit', code: 0 });
      });
    },
    limit,
  );
});
