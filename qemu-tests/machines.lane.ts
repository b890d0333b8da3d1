/**
 * Entry stub and crash stub on many machines: `npm run test:machines`, not part of `npm test`. Each row boots armed, panics,
 * and its panic is in the log recovered from /proc/vmcore. Writes docs/results/machines.md. Results are kept under
 * .cache/machines, by what they were made of, so jest's -t runs some rows again and leaves the others as they were.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { copyFile, cp, truncate, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { afterAll, expect, test } from '@jest/globals';
import { partitionStart, sectorSize } from '../src/image/fat-geometry.js';
import { readManifest } from '../src/image/payload-folder.js';
import { offsetInImage } from '../src/kernel/flat-image.js';
import { loadKernel } from '../src/kernel/load-kernel.js';
import { findTextFont, textFontSize } from '../src/kernel/text-font.js';
import { wrongEnds } from '../src/machine/outcome.js';
import { recoveredLog } from '../src/machine/recovered-log.js';
import { serialLines } from '../src/machine/serial-text.js';
import { everyLane } from '../src/testkit/lanes.js';
import {
  bootFrom,
  bootPayload,
  captured,
  check,
  guestBlock,
  serialConsole,
  type BootOptions,
} from './harness/boot.js';
import { host } from './harness/disks.js';
import { cache, digestOf, repository } from './harness/folders.js';
import { ramAtOneTiB, tebibytes } from './harness/large-memory.js';
import { payload, stockKernel, toolDigest, type Flavour } from './harness/payloads.js';
import { emptyFolder, recipe, runRecipe } from './harness/recipes.js';
import { screenAtReset } from './harness/screen-at-reset.js';
import { glyphsOfFont, readGraphicsScreen, screenOf, textModeRows } from './harness/screen.js';
import { injectorFor } from './inject.js';
import { makeExtlinuxDisk } from './machines/extlinux-disk.js';
import { guestPanic, machineFacts, machineGuest, type MachineFacts } from './machines/guest.js';
import { e820Ranges, ptLoads, vmcoreEnds, vmcorePayload } from './vmcore-guests.js';
import { renderMachines, type MachineRow, type RowOutcome } from './machines/report.js';

const minutes = 60_000;
const MiB = 1 << 20;
/** Seconds for one machine: those with many CPUs share two of the host's. */
const timeout = 400;
const vfsPanic = 'Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)';
/** The packages syslinux, pxelinux and extlinux of version 6.03, unpacked: docs/testing.md. */
const oldSyslinux = join(cache, 'syslinux-6.03');

const kernels = ['amd64', 'cloud-amd64'].map((flavour) =>
  basename(stockKernel(flavour).vmlinuz).replace('vmlinuz-', ''),
);
const results = join(cache, 'machines', digestOf(toolDigest(), ...kernels));
mkdirSync(results, { recursive: true });

const rows: Omit<MachineRow, 'outcome'>[] = [];
const resultOf = ({ group, name }: Pick<MachineRow, 'group' | 'name'>): string =>
  join(results, `${digestOf(group, name)}.txt`);

afterAll(() => {
  const done = rows.map((row): MachineRow => {
    const path = resultOf(row);
    return { ...row, outcome: existsSync(path) ? (readFileSync(path, 'utf8') as RowOutcome) : undefined };
  });
  writeFileSync(join(repository, 'docs/results/machines.md'), renderMachines(done, kernels.join(' and ')));
});

/** One row of the page, one test. `wanted` false: in the page, but not run. */
function row(group: string, name: string, shown: string, run: () => Promise<void>, wanted = true): void {
  const entry = { group, name, shown };
  rows.push(entry);
  (wanted ? test : test.skip)(
    `${group}: ${name}`,
    async () => {
      let outcome: RowOutcome = 'passed';
      try {
        await run();
      } catch (error) {
        const [first = ''] = (error instanceof Error ? error.message : String(error)).split('\n');
        outcome = /^(failed|lost): /.test(first) ? (first as RowOutcome) : `failed: ${first}`;
        throw error;
      } finally {
        writeFileSync(resultOf(entry), outcome);
      }
    },
    15 * minutes,
  );
}

async function talkative(flavour: Flavour, crashAppend?: string): Promise<string> {
  return await payload({
    flavour,
    initrds: [await machineGuest()],
    name: 'machines',
    ...(crashAppend !== undefined && { crashAppend }),
  });
}

/** `region`: size of the crash region, bytes. */
type Claims = (facts: MachineFacts, log: string, region: number) => void;

/** Boots to userspace, which tells of the machine and panics. */
async function panicInUserspace(options: BootOptions, claims: Claims, flavour: Flavour): Promise<void> {
  const dir = await talkative(flavour);
  const { memory } = await readManifest(dir);
  const result = await bootPayload(dir, { timeout, ...options });
  const log = captured(result, guestPanic);
  const facts = machineFacts(result);
  check(result, () => {
    claims(facts, log, memory.size);
  });
}

/** Panics at the entry of start_kernel: no interrupt controller is the kernel's yet, and no CPU but the first runs. */
async function panicInStartKernel(options: BootOptions, flavour: Flavour): Promise<void> {
  const dir = await talkative(flavour);
  const injector = await injectorFor(dir);
  const message = `Injected at start_kernel ${Date.now().toString(36)}`;
  const result = await bootPayload(dir, {
    timeout,
    ...options,
    debug: async (gdb) => {
      await injector.panicAt(gdb, 'start_kernel', message);
    },
  });
  captured(result, message);
}

interface Hardware {
  readonly group: string;
  readonly name: string;
  readonly shown: string;
  readonly options: BootOptions;
  readonly claims: Claims;
  readonly flavour?: Flavour;
  /** A second machine, which panics at start_kernel. */
  readonly early?: boolean;
  readonly wanted?: boolean;
}

function hardware({ group, name, shown, options, claims, flavour, early, wanted }: Hardware): void {
  const kernel = flavour ?? 'cloud-amd64';
  row(group, name, shown, () => panicInUserspace(options, claims, kernel), wanted);
  if (early === true) {
    row(group, `${name}, start_kernel`, '', () => panicInStartKernel(options, kernel), wanted);
  }
}

// --- CPU models -------------------------------------------------------------------------------------------------------

const cpuFlags = ['pdpe1gb', 'rdrand', 'x2apic', 'la57', 'smap', 'smep', 'umip'] as const;
type CpuFlag = (typeof cpuFlags)[number];
/** QEMU 7.2's TCG knows no x2APIC. */
const max = ['pdpe1gb', 'rdrand', 'la57', 'smap', 'smep', 'umip'] as const;
const without = (...gone: CpuFlag[]): CpuFlag[] => max.filter((flag) => !gone.includes(flag));

const cpuModels: readonly (readonly [string, readonly CpuFlag[], early?: boolean])[] = [
  ['qemu64', [], true],
  ['max', max, true],
  ['max,-pdpe1gb', without('pdpe1gb'), true],
  ['max,-rdrand,-rdseed', without('rdrand')],
  ['max,-la57', without('la57'), true],
  ['max,-smap', without('smap')],
  ['max,-smep', without('smep')],
  ['max,-umip', without('umip')],
  ['max,-smap,-smep,-umip', without('smap', 'smep', 'umip')],
  ['max,-pdpe1gb,-la57,-rdrand', without('pdpe1gb', 'la57', 'rdrand')],
  ['Nehalem', []],
  ['Haswell', ['rdrand', 'smep']],
  ['EPYC', ['pdpe1gb', 'rdrand', 'smap', 'smep']],
];

for (const [model, flags, early = false] of cpuModels) {
  hardware({
    group: 'CPU models',
    name: `\`-cpu ${model}\``,
    shown: `of ${cpuFlags.join(', ')} the guest has ${flags.length === 0 ? 'none' : flags.join(', ')}`,
    options: { extra: ['-cpu', model], cpus: 2 },
    claims: (facts) => {
      expect(cpuFlags.filter((flag) => facts.flags.has(flag))).toEqual(
        cpuFlags.filter((flag) => flags.includes(flag)),
      );
    },
    early,
  });
}

// --- Boards -----------------------------------------------------------------------------------------------------------

const q35 = 'Standard PC (Q35 + ICH9, 2009)';
const i440fx = 'Standard PC (i440FX + PIIX, 1996)';
const boards: readonly {
  readonly board: string;
  readonly product: string;
  readonly early?: boolean;
  /** Without tables of the firmware that tell of others, one. */
  readonly cpus?: number;
  readonly said?: string;
}[] = [
  { board: 'q35', product: q35, early: true },
  { board: 'pc', product: i440fx, early: true },
  { board: 'q35,hpet=off', product: q35 },
  {
    board: 'pc,acpi=off',
    product: i440fx,
    cpus: 1,
    said: 'APIC: ACPI MADT or MP tables are not detected',
  },
  { board: 'pc,smm=off', product: i440fx },
  { board: 'q35,max-ram-below-4g=2G', product: q35 },
];
for (const { board, product, early = false, cpus = 2, said } of boards) {
  hardware({
    group: 'Boards',
    name: `\`-machine ${board}\``,
    shown: `the board is "${product}"${said === undefined ? '' : `; "${said}"`}`,
    options: { board, cpus: 2, ...(board.includes('below') && { memory: 3072 }) },
    claims: (facts, log) => {
      expect(facts.product).toBe(product);
      expect(facts.cpus).toBe(cpus);
      if (said !== undefined) expect(log).toContain(said);
    },
    early,
  });
}

// --- RAM and CPUs -----------------------------------------------------------------------------------------------------

for (const memory of [256, 512, 2048, 4096, 8192]) {
  hardware({
    group: 'RAM',
    name: `${memory} MiB`,
    shown: 'the guest finds all of it but the crash region',
    options: { memory },
    claims: ({ ram }, _, region) => {
      // The firmware keeps some for its own tables.
      const missing = memory * MiB - region - ram;
      expect([missing >= 0, missing < 2 * MiB]).toEqual([true, true]);
    },
  });
}
const above512GiB = 'RAM above 512 GiB';
row(
  above512GiB,
  '1 GiB at 0, 4 GiB at 1 TiB; no 1 GiB pages, 4 levels',
  'the kernel lies above 1 TiB, and /proc/vmcore has all RAM of the memory map',
  async () => {
    const dir = await vmcorePayload('cloud-amd64');
    const { memory } = await readManifest(dir);
    // What is left of low RAM has room for the crash region, and for no kernel.
    const left = memory.size / MiB + 12;
    const result = await bootPayload(dir, {
      ...ramAtOneTiB(5120, 'max,-pdpe1gb,-la57'),
      cpus: 2,
      timeout,
      extraAppend: `${serialConsole} memmap=${1024 - 16 - left}M$16M`,
      endAt: vmcoreEnds,
    });
    check(result, () => {
      const [, kernel] =
        /^ *([0-9a-f]+)-.*: Kernel code$/m.exec(guestBlock(result, 'iomem').join('\n')) ?? [];
      expect(BigInt(`0x${kernel ?? '0'}`) >> 40n).toBe(1n);
      expect(ptLoads(result).at(-1)).toEqual({ start: 1n << 40n, end: (1n << 40n) + (4n << 30n) });
      expect(guestBlock(result, 'dead log').join('\n')).toContain(guestPanic);
    });
  },
);
// Early, as the structures of all those pages take a 64th of them.
for (const [size, name] of [
  [1, 'console_init'],
  [6, 'console_init'],
  [32, 'e820__reserve_setup_data'],
] as const) {
  row(above512GiB, `${size} TiB, ${name}`, '/proc/vmcore has all RAM of the memory map', async () => {
    const dir = await vmcorePayload('amd64');
    const injector = await injectorFor(dir);
    const message = `Injected at ${name} ${Date.now().toString(36)}`;
    const result = await bootPayload(dir, {
      ...tebibytes(size),
      timeout,
      endAt: vmcoreEnds,
      debug: async (gdb) => {
        await injector.panicAt(gdb, name, message);
      },
    });
    check(result, () => {
      const ram = e820Ranges(guestBlock(result, 'dead e820'), 'usable');
      expect(ram.at(-1)?.end).toBe((BigInt(size) << 40n) + (2n << 30n));
      expect(ptLoads(result)).toEqual(ram);
      expect(guestBlock(result, 'dead log').join('\n')).toContain(message);
    });
  });
}
for (const cpus of [1, 2, 8, 16, 64]) {
  hardware({
    group: 'CPUs',
    name: String(cpus),
    shown: 'the guest runs all of them',
    options: { cpus },
    claims: (facts) => {
      expect(facts.cpus).toBe(cpus);
    },
    wanted: cpus <= 16 || everyLane,
  });
}

// --- Boot disks -------------------------------------------------------------------------------------------------------

const onUsb = (controller: string): readonly string[] => [
  ...['-device', `${controller},id=usb`],
  ...['-device', 'usb-storage,bus=usb.0,drive=disk,bootindex=0'],
];
const disks: readonly {
  readonly name: string;
  readonly device?: readonly string[];
  readonly board?: string;
  readonly saved: string;
}[] = [
  { name: 'AHCI', saved: '/dev/sda1' },
  { name: 'IDE, on i440FX', board: 'pc', saved: '/dev/sda1' },
  {
    name: 'AHCI, on i440FX',
    board: 'pc',
    device: ['-device', 'ahci,id=ahci', '-device', 'ide-hd,drive=disk,bus=ahci.0,bootindex=0'],
    saved: '/dev/sda1',
  },
  { name: 'virtio-blk', device: ['-device', 'virtio-blk-pci,drive=disk,bootindex=0'], saved: '/dev/vda1' },
  {
    name: 'virtio-scsi',
    device: ['-device', 'virtio-scsi-pci', '-device', 'scsi-hd,drive=disk,bootindex=0'],
    saved: '/dev/sda1',
  },
  { name: 'NVMe', device: ['-device', 'nvme,serial=1,drive=disk,bootindex=0'], saved: '/dev/nvme0n1p1' },
  { name: 'USB, xHCI', device: onUsb('qemu-xhci'), saved: '/dev/sda1' },
  { name: 'USB, EHCI', device: onUsb('usb-ehci'), saved: '/dev/sda1' },
  { name: 'USB, UHCI, on i440FX', board: 'pc', device: onUsb('piix3-usb-uhci'), saved: '/dev/sda1' },
];
for (const { name, device, board, saved } of disks) {
  row('Boot disk', name, `the only disk; the crash kernel saves the log on it, ${saved}`, async () => {
    const dir = await talkative('amd64', 'saveoops.hold=0 saveoops.save=boot');
    const result = await bootPayload(dir, {
      timeout,
      writable: true,
      endAt: [/^saveoops: reboot in/, ...wrongEnds.map(({ pattern }) => pattern)],
      ...(device !== undefined && { diskDevice: device }),
      ...(board !== undefined && { board }),
    });
    captured(result, guestPanic);
    check(result, () => {
      expect(serialLines(result.serial)).toContainEqual(
        expect.stringMatching(new RegExp(`^saveoops: saved on ${saved} \\(vfat, boot, `)),
      );
    });
  });
}

// --- What the loader reads --------------------------------------------------------------------------------------------

/** The type of a FAT as its boot sector has it. */
function fatType(image: string): string {
  const boot = host('sh', [
    '-c',
    `dd if="$1" bs=${sectorSize} skip=${partitionStart} count=1 2>/dev/null | strings -n 5`,
    'sh',
    image,
  ]);
  return /FAT\d\d/.exec(boot)?.[0] ?? boot;
}

async function bootFat(type: 'FAT16' | 'FAT32', change?: (image: string) => void): Promise<void> {
  let found = '';
  await panicInUserspace(
    {
      edit: async (folder) => {
        // What makes the image takes FAT32 from 1 GiB on.
        if (type === 'FAT32') {
          await writeFile(join(folder, 'filler'), '');
          await truncate(join(folder, 'filler'), 1050 * MiB);
        }
      },
      rearrange: (image) => {
        change?.(image);
        found = fatType(image);
        return Promise.resolve();
      },
    },
    () => {
      expect(found).toBe(type);
    },
    'cloud-amd64',
  );
}

async function bootExtlinux(program?: string): Promise<void> {
  const image = join(emptyFolder('machines-extlinux'), 'disk.img');
  await makeExtlinuxDisk(await talkative('cloud-amd64'), image, program);
  const result = await bootFrom({ kind: 'disk', image }, { timeout });
  captured(result, guestPanic);
}

const fromMedium = 'What the loader reads';
row(fromMedium, 'FAT16', 'the boot sector says FAT16', () => bootFat('FAT16'));
row(fromMedium, 'FAT32', 'the boot sector says FAT32', () => bootFat('FAT32'));
row(fromMedium, 'ISO 9660, on a CD', '', () =>
  panicInUserspace({ media: 'iso' }, () => undefined, 'cloud-amd64'),
);
row(fromMedium, 'ISO 9660, isohybrid on a disk', '', async () => {
  const image = join(emptyFolder('machines-iso'), 'boot.iso');
  const made = await bootPayload(await talkative('cloud-amd64'), {
    media: 'iso',
    timeout,
    rearrange: (iso) => copyFile(iso, image),
  });
  captured(made, guestPanic);
  captured(await bootFrom({ kind: 'disk', image }, { timeout }), guestPanic);
});
row(fromMedium, 'ext4, extlinux', '', () => bootExtlinux());

let served: Promise<string> | undefined;
/** The PXE recipe of docs/recipes.md. */
async function tftpFolder(): Promise<string> {
  served ??= (async (): Promise<string> => {
    const folder = emptyFolder('machines-pxe');
    await runRecipe(recipe('PXE server'), folder, {
      KERNEL: stockKernel('cloud-amd64').vmlinuz,
      INITRD: await machineGuest(),
      APPEND: serialConsole,
    });
    return join(folder, 'tftp');
  })();
  return await served;
}
async function bootNetwork(file: string, tftp: string): Promise<void> {
  captured(await bootFrom({ kind: 'network', tftp, file }, { timeout }), guestPanic);
}
for (const file of ['pxelinux.0', 'lpxelinux.0']) {
  row(fromMedium, `PXE, ${file}`, '', async () => {
    await bootNetwork(file, await tftpFolder());
  });
}

// --- Syslinux 6.03: the rows above are 6.04 ---------------------------------------------------------------------------

const has603 = existsSync(oldSyslinux);
row(
  'Syslinux 6.03',
  'FAT16',
  'the disk has no 6.04',
  () =>
    bootFat('FAT16', (image) => {
      const offset = String(partitionStart * sectorSize);
      host(join(oldSyslinux, 'usr/bin/syslinux'), [
        ...['--install', '--offset', offset, '--directory', '/syslinux', image],
      ]);
      const versions = host('sh', ['-c', `grep -ao 'SYSLINUX [0-9]\\.[0-9]*' "$1" | sort -u`, 'sh', image]);
      expect(versions).toBe('SYSLINUX 6.03\n');
    }),
  has603,
);
row('Syslinux 6.03', 'ext4, extlinux', '', () => bootExtlinux(join(oldSyslinux, 'usr/bin/extlinux')), has603);
for (const file of ['pxelinux.0', 'lpxelinux.0']) {
  row(
    'Syslinux 6.03',
    `PXE, ${file}`,
    '',
    async () => {
      const folder = emptyFolder('machines-pxe-603');
      await cp(await tftpFolder(), folder, { recursive: true });
      await copyFile(join(oldSyslinux, 'usr/lib/PXELINUX', file), join(folder, file));
      const core = join(folder, 'ldlinux.c32');
      await copyFile(join(oldSyslinux, 'usr/lib/syslinux/modules/bios/ldlinux.c32'), core);
      await bootNetwork(file, folder);
    },
    has603,
  );
}

// --- Command lines ----------------------------------------------------------------------------------------------------

const words = (
  name: string,
  shown: string,
  options: BootOptions,
  claims: Claims,
  flavour: Flavour = 'cloud-amd64',
): void => {
  hardware({
    group: 'Command line of the primary',
    name: `\`${name}\``,
    shown,
    options: { extraAppend: `${serialConsole} ${name}`, ...options },
    claims: (facts, log, region) => {
      expect(facts.cmdline).toContain(name);
      claims(facts, log, region);
    },
    flavour,
  });
};
words('mem=512M', 'of 4 GiB the kernel uses less than 512 MiB', { memory: 4096 }, (facts) => {
  expect([facts.ram > 3000 * MiB, facts.memTotal < 512 * MiB]).toEqual([true, true]);
});
words('memmap=64M$0x10000000', 'the kernel keeps off these 64 MiB', {}, (_, log) => {
  expect(log).toContain('user: [mem 0x0000000010000000-0x0000000013ffffff] reserved');
});
words('no5lvl', 'a CPU with LA57; the kernel does not use it', { extra: ['-cpu', 'max'] }, (facts, log) => {
  expect([facts.flags.has('la57'), facts.flags.has('smap')]).toEqual([false, true]);
  expect(log).toContain('no5lvl');
});
words('nosmp', 'of 2 CPUs the kernel runs one', { cpus: 2 }, (facts) => {
  expect(facts.cpus).toBe(1);
});
words('noapic nolapic', 'no local APIC, no IO-APIC', {}, (facts) => {
  expect(facts.cpus).toBe(1);
});
words('nopti nokaslr pci=nomsi', '', {}, () => undefined);

for (const [name, number, why] of [
  ['mem_encrypt=on', 'E07', 'mem_encrypt=on'],
  ['memmap=exactmap memmap=640K@0 memmap=511M@1M', 'E12', 'memmap= on the command line uses'],
] as const) {
  row(
    'Command line of the primary',
    `\`${name}\``,
    `unarmed, ${number} says so; the kernel runs, and panics by itself`,
    async () => {
      const result = await bootPayload(await talkative('cloud-amd64'), {
        timeout,
        extraAppend: `${serialConsole} ${name}`,
        endAt: [/---\[ end Kernel panic/],
      });
      check(result, () => {
        const lines = serialLines(result.serial);
        expect(lines).toContainEqual(expect.stringContaining(`saveoops: ${number} not armed: ${why}`));
        expect(lines).toContainEqual(expect.stringContaining(guestPanic));
        expect(recoveredLog(result.serial)).toBeUndefined();
      });
    },
  );
}

// --- Consoles ---------------------------------------------------------------------------------------------------------

/** No device but the serial port. */
hardware({
  group: 'Consoles',
  name: 'serial port only, no VGA',
  shown: '',
  options: { extra: ['-vga', 'none'] },
  claims: () => undefined,
});

/** The last screen: what died, beside the code its trace, and what comes next. */
function expectLastWords(seen: readonly string[]): void {
  for (const part of [
    / panic\+0x/,
    /^Kernel panic - not syncing: VFS: Unable to mount root fs/,
    /^The machine restarts in 0 seconds\./,
  ]) {
    expect(seen).toContainEqual(expect.stringMatching(part));
  }
}

row(
  'Consoles',
  'VGA in text mode only, no serial port',
  'the screen has the trace and the panic, by the crash kernel',
  async () => {
    const dir = await payload({ flavour: 'amd64', crashAppend: 'saveoops.hold=0', name: 'screen' });
    const { options, seen } = screenAtReset(textModeRows);
    const result = await bootPayload(dir, { timeout, ...options, extraAppend: '', serialPort: false });
    check(result, () => {
      expectLastWords(seen());
    });
  },
);
row(
  'Consoles',
  '`vga=0x317`: frame buffer, 1024x768',
  'the screen has the trace and the panic, by the crash kernel',
  async () => {
    const dir = await payload({ flavour: 'amd64', crashAppend: 'saveoops.hold=0', name: 'screen' });
    const kernel = await loadKernel(readFileSync(stockKernel('amd64').vmlinuz), 'the stock kernel');
    const font = findTextFont(kernel);
    if (font === undefined) throw new Error('lost: the kernel has no 8x16 font to read the screen by');
    const at = offsetInImage(kernel.image, font, textFontSize, 'font');
    const glyphs = glyphsOfFont(kernel.image.bytes.subarray(at, at + textFontSize));
    let size = '';
    const { options, seen } = screenAtReset(async (qmp, path) => {
      const screen = await screenOf(qmp, path);
      size = `${screen.width}x${screen.height}`;
      return readGraphicsScreen(screen, glyphs);
    });
    const result = await bootPayload(dir, { timeout, ...options, extraAppend: `${serialConsole} vga=0x317` });
    captured(result, vfsPanic);
    check(result, () => {
      expect(size).toBe('1024x768');
      expectLastWords(seen());
    });
  },
);
