/**
 * What the crash stub hands over, seen before the crash kernel's first instruction: the machine's state by QEMU's own
 * word, the dead kernel's low memory, and headers in which every field matters that the crash kernel checks.
 */
import { readFileSync } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { execa } from 'execa';
import { sha256 } from '../src/bytes/digests.js';
import { runScenario } from '../src/machine/scenario.js';
import { regionPlaces } from '../src/stubs/shared-layout.js';
import { few } from '../src/testkit/lanes.js';
import { check, guestBlock, serialConsole } from './harness/boot.js';
import { cache, digestOf, makeOnce, repository } from './harness/folders.js';
import { guestInitramfs, printBlock } from './harness/guest.js';
import { stockKernel } from './harness/payloads.js';
import { handover, lowMemory, type Handover } from './handover.js';
import { e820Ranges, vmcoreLow, vmcorePayload } from './vmcore-guests.js';

const limit = 300_000;
const flavour = 'cloud-amd64';

/** The guest's program that uses the debug registers (qemu-tests/watch-memory.c). */
async function watcher(): Promise<string> {
  const source = join(repository, 'qemu-tests/watch-memory.c');
  return await makeOnce(
    join(cache, 'guests', `watch-memory-${digestOf(readFileSync(source))}`),
    async (out) => {
      const freestanding = [
        '-static',
        '-nostdlib',
        '-ffreestanding',
        '-fno-stack-protector',
        '-no-pie',
        '-fno-pie',
      ];
      await execa('gcc', ['-O1', '-Wall', '-Wextra', '-Werror', ...freestanding, '-o', out, source]);
    },
  );
}

/** One capture of a system that was up, on the second of two CPUs, for all tests here. */
let capture: Promise<Handover> | undefined;
async function captureOnce(): Promise<Handover> {
  const dir = await vmcorePayload(
    flavour,
    'mkfifo /told; watch-memory >/told & read -r line </told; echo "$line"',
    [{ path: 'bin/watch-memory', source: await watcher() }],
  );
  return await handover(dir, { cpus: 2, extraAppend: `${serialConsole} guest.cpu=1` });
}
const captured = (): Promise<Handover> => (capture ??= captureOnce());

test(
  'the crash kernel starts in the state that the 32-bit boot protocol and kexec promise',
  async () => {
    const { run, registers, region } = await captured();
    const value = (name: string): string | undefined =>
      new RegExp(`(?:^|\\s)${name} *=\\s*([0-9a-f]+)`, 'm').exec(registers)?.[1];
    const number = (name: string): bigint => BigInt(`0x${value(name) ?? 'none'}`);
    check(run, () => {
      // So that the debug registers were in use.
      expect(run.serial).toContain('guest: breakpoints set');
      const entry = region + BigInt(regionPlaces.CRASH_KERNEL);
      expect(number('EIP')).toBe(entry);
      const bootParams = region + BigInt(regionPlaces.BOOT_PARAMS);
      const general = ['EAX', 'EBX', 'ECX', 'EDX', 'ESI', 'EDI', 'EBP'];
      expect(general.map((name) => [name, number(name)])).toEqual(
        general.map((name) => [name, name === 'EAX' ? entry : name === 'ESI' ? bootParams : 0n]),
      );
      const CR0 = { PE: 1n, ET: 16n };
      expect([number('CR0'), number('CR4'), number('EFER')]).toEqual([CR0.PE | CR0.ET, 0n, 0n]);
      const EFLAGS = { TF: 0x100n, IF: 0x200n, DF: 0x400n, NT: 0x4000n, AC: 0x40000n };
      for (const flag of Object.values(EFLAGS)) expect(number('EFL') & flag).toBe(0n);
      expect(number('DR7') & 0xffn).toBe(0n);
      // Selector, base, limit, and "code" or "data" of 32 bits.
      expect(registers).toMatch(/^CS =0010 00000000 ffffffff \w+ DPL=0 CS32/m);
      for (const name of ['DS', 'ES', 'SS', 'FS', 'GS']) {
        expect(registers).toMatch(
          new RegExp(`^${name} =0018 00000000 ffffffff \\w+ DPL=0 DS  *\\[-WA?`, 'm'),
        );
      }
    });
  },
  limit,
);

test(
  '/proc/vmcore has the dead kernel’s low memory, which the crash kernel has overwritten',
  async () => {
    const { run, low, lowAfter } = await captured();
    const shown = vmcoreLow(run);
    check(run, () => {
      const [ram] = e820Ranges(guestBlock(run, 'e820'), 'usable');
      const end = Number(ram?.end ?? 0n);
      expect(ram?.start).toBe(0n);
      expect(end).toBeGreaterThan(512 << 10);
      expect(end).toBeLessThanOrEqual(lowMemory);
      const pages = (bytes: Buffer): readonly string[] =>
        Array.from({ length: Math.ceil(end / 4096) }, (_, page) =>
          Buffer.from(sha256(bytes.subarray(page * 4096, Math.min(end, (page + 1) * 4096)))).toString('hex'),
        );
      expect(pages(shown)).toEqual(pages(low));
      expect(pages(lowAfter)).not.toEqual(pages(low));
    });
  },
  limit,
);

/**
 * What fs/proc/vmcore.c checks before it takes a core: offset from the ELF header (elf(5)), a wrong value, and what the
 * kernel says to it.
 */
const insane = ['Warning: Core image elf header is not sane'];
const notFound = ['Warning: Core image elf header not found'];
const noNotes = 'Warning: Zero PT_NOTE entries found';
const firstNote = regionPlaces.NOTES - regionPlaces.ELFCOREHDR;
const rules: readonly {
  readonly field: string;
  readonly at: number;
  readonly wrong: readonly number[];
  readonly says: readonly string[];
}[] = [
  { field: 'EI_MAG3', at: 3, wrong: [0x47], says: notFound },
  { field: 'EI_CLASS, 32 bits', at: 4, wrong: [1], says: insane },
  { field: 'EI_CLASS, no class', at: 4, wrong: [3], says: insane },
  { field: 'EI_VERSION', at: 6, wrong: [0], says: insane },
  { field: 'e_type, an executable', at: 16, wrong: [2, 0], says: insane },
  { field: 'e_machine, another one', at: 18, wrong: [183, 0], says: insane },
  { field: 'e_version', at: 20, wrong: [2, 0, 0, 0], says: insane },
  { field: 'e_ehsize', at: 52, wrong: [52, 0], says: insane },
  { field: 'e_phentsize', at: 54, wrong: [32, 0], says: insane },
  { field: 'e_phnum, none', at: 56, wrong: [0, 0], says: insane },
  { field: 'p_type of the only PT_NOTE', at: 64, wrong: [0], says: [] },
  { field: 'n_namesz of the first note, none', at: firstNote, wrong: [0], says: [noNotes] },
  {
    field: 'n_descsz of the first note, longer than p_memsz',
    at: firstNote + 4,
    wrong: [0, 0, 16, 0],
    says: ['Warning: Exceeded p_memsz, dropping PT_NOTE entry n_namesz=0xb, n_descsz=0x100000', noNotes],
  },
];

/** What a crash kernel that is started alone, with these headers where the stub put them, says of them. */
async function crashKernelAlone(name: string, { region }: Handover, headers: Buffer) {
  const folder = join(cache, 'runs', `vmcore-rule-${name.toLowerCase().replace(/[^a-z0-9]+/g, '-')}`);
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  const file = join(folder, 'headers');
  await writeFile(file, headers);
  const hex = (value: bigint): string => `0x${value.toString(16)}`;
  const elfcorehdr = region + BigInt(regionPlaces.ELFCOREHDR);
  const telling = `ls /proc/vmcore 2>/dev/null; dmesg | grep -o -e 'Kdump: .*' -e 'Warning: .*PT_NOTE.*' -e 'Warning: Core image.*'`;
  const run = await runScenario({
    machine: {
      boot: {
        kind: 'kernel',
        kernel: stockKernel(flavour).vmlinuz,
        initrd: await guestInitramfs(`${printBlock('vmcore', telling)}poweroff -f\n`),
        append: `${serialConsole} quiet elfcorehdr=${hex(elfcorehdr)} memmap=2M$${hex(region)}`,
      },
      extra: ['-device', `loader,file=${file},addr=${hex(elfcorehdr)},force-raw=on`],
    },
    folder,
    timeout: 120,
    endAt: [/---\[ end Kernel panic/],
  });
  return { run, said: guestBlock(run, 'vmcore') };
}

describe('a crash kernel that gets the stub’s headers', () => {
  test(
    'unchanged, takes them without a word',
    async () => {
      const taken = await captured();
      const { run, said } = await crashKernelAlone('none', taken, taken.headers);
      check(run, () => {
        expect(said).toEqual(['/proc/vmcore']);
      });
    },
    limit,
  );

  test.each(few(1, rules))(
    'with a wrong $field, refuses them',
    async ({ field, at, wrong, says }) => {
      const taken = await captured();
      const changed = Buffer.from(taken.headers);
      expect(changed.subarray(at, at + wrong.length)).not.toEqual(Buffer.from(wrong));
      changed.set(wrong, at);
      const { run, said } = await crashKernelAlone(field, taken, changed);
      check(run, () => {
        expect(said).toEqual([...says, 'Kdump: vmcore not initialized']);
      });
    },
    limit,
  );
});
