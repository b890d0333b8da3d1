/**
 * NT_PRSTATUS notes: one of every CPU, as kdump has them, once the kernel has room for them; before that, one, of the CPU
 * that panics. The debugger tells the registers with which panic() left the kernel.
 *
 * `npm run test:all`: more CPUs, and panics on the first and in the middle.
 */
import { describe, expect, test } from '@jest/globals';
import { ByteView } from '../src/bytes/byte-reader.js';
import { PT_NOTE } from '../src/formats/elf/elf-tables.js';
import { parseNotes } from '../src/formats/elf/notes.js';
import { parseElf } from '../src/formats/elf/parse-elf.js';
import { readManifest } from '../src/image/payload-folder.js';
import type { GdbRemote, Registers } from '../src/machine/gdb-remote.js';
import { followEntryStub, runTo } from '../src/machine/kernel-debugger.js';
import type { ScenarioResult } from '../src/machine/scenario.js';
import { few } from '../src/testkit/lanes.js';
import { bootPayload, check, serialConsole } from './harness/boot.js';
import { injectorFor } from './inject.js';
import { guestSymbol, vmcoreHead, vmcorePayload, vmcoreEnds } from './vmcore-guests.js';

const limit = 660_000;
const timeout = 600;
/** Milliseconds. */
const arrival = 500_000;
const flavour = 'cloud-amd64';

/** struct elf_prstatus of x86-64 (the kernel's include/linux/elfcore.h, user_regs_struct): offset of pr_pid, pr_reg. */
const pidOffset = 32;
const regOffset = 112;
const regNames = [
  ...(['r15', 'r14', 'r13', 'r12', 'rbp', 'rbx', 'r11', 'r10', 'r9', 'r8', 'rax', 'rcx', 'rdx'] as const),
  ...(['rsi', 'rdi', 'orig_rax', 'rip', 'cs', 'eflags', 'rsp', 'ss'] as const),
] as const;

interface Prstatus {
  readonly pid: number;
  readonly registers: Readonly<Record<(typeof regNames)[number], bigint>>;
}

function prstatusOf(run: ScenarioResult): readonly Prstatus[] {
  const elf = parseElf(vmcoreHead(run), '/proc/vmcore');
  const [segment] = elf.segments.filter((each) => each.p_type === PT_NOTE);
  const notes = segment === undefined ? [] : parseNotes(new ByteView(elf.segmentBytes(segment), 'notes'));
  expect(notes[0]?.name).toBe('VMCOREINFO');
  return notes.slice(1).map(({ name, type, desc }) => {
    expect([name, type, desc.length]).toEqual(['CORE', 1, 336]);
    const view = Buffer.from(desc);
    const values = regNames.map((reg, index) => [reg, view.readBigUInt64LE(regOffset + 8 * index)] as const);
    return {
      pid: view.readInt32LE(pidOffset),
      registers: Object.fromEntries(values) as Prstatus['registers'],
    };
  });
}

/** Registers as panic() has them when the function that it calls has returned. */
interface InPanic {
  readonly thread: string;
  readonly registers: Registers;
  readonly returnAddress: bigint;
}

/** Runs to where panic() calls what stops the other CPUs, which leads to the hook. */
async function runToHook(gdb: GdbRemote, dir: string, kaslrOffset: bigint): Promise<InPanic> {
  const { edits } = await readManifest(dir);
  const edit = edits.find(({ what }) => what === 'smp_ops.stop_other_cpus');
  const link = Buffer.from(edit?.after ?? '', 'hex').readBigUInt64LE();
  const hook = BigInt.asUintN(64, link + kaslrOffset);
  await gdb.setBreakpoint(hook);
  const { thread = '1' } = await runTo(gdb, hook, Date.now() + arrival, 'the hook');
  const registers = await gdb.registers();
  const returnAddress = (await gdb.readMemory(registers.rsp, 8)).readBigUInt64LE();
  await gdb.detach();
  return { thread, registers, returnAddress };
}

/** What a function that is called keeps, and where it goes back to. */
const kept = ['rbx', 'rbp', 'r12', 'r13', 'r14', 'r15', 'rdi', 'cs'] as const;

function checkPanicking(note: Prstatus | undefined, { registers, returnAddress }: InPanic): void {
  const IF = 0x200n;
  expect(note?.registers).toMatchObject({
    ...Object.fromEntries(kept.map((name) => [name, registers[name]])),
    rip: returnAddress,
    rsp: registers.rsp + 8n,
  });
  expect((note?.registers.eflags ?? 0n) & IF).toBe(registers.eflags & IF);
}

describe('a system that was up has one note of each CPU', () => {
  const cases = [
    { cpus: 2, panicOn: 1 },
    { cpus: 1, panicOn: 0 },
    { cpus: 16, panicOn: 15 },
    { cpus: 2, panicOn: 0 },
    { cpus: 16, panicOn: 0 },
    { cpus: 16, panicOn: 7 },
    { cpus: 64, panicOn: 63 },
  ];
  test.each(few(1, cases))(
    '$cpus CPUs, panic on CPU $panicOn',
    async ({ cpus, panicOn }) => {
      const dir = await vmcorePayload(flavour);
      const { debug } = await readManifest(dir);
      let inPanic: InPanic | undefined;
      const run = await bootPayload(dir, {
        cpus,
        timeout,
        extraAppend: `${serialConsole} guest.cpu=${panicOn}`,
        endAt: vmcoreEnds,
        debug: async (gdb) => {
          const { kaslrOffset } = await followEntryStub(gdb, debug, Date.now() + arrival);
          inPanic = await runToHook(gdb, dir, kaslrOffset);
        },
      });
      check(run, () => {
        const notes = prstatusOf(run);
        expect(notes.length).toBe(cpus);
        if (inPanic === undefined) throw new Error('no stop at the hook');
        expect(Number.parseInt(inPanic.thread, 16)).toBe(panicOn + 1);
        // The kernel's own words, between panic() and the crash kernel.
        const [, cpu, pid] =
          /Kernel panic[^]*?CPU: (\d+) (?:UID: 0 )?PID: (\d+) Comm: sh/.exec(run.serial) ?? [];
        expect([Number(cpu), notes[panicOn]?.pid]).toEqual([panicOn, Number(pid)]);
        checkPanicking(notes[panicOn], inPanic);
        const text = { start: guestSymbol(run, '_stext'), end: guestSymbol(run, '_etext') };
        expect(text.start).toBeGreaterThan(0n);
        for (const { registers } of notes) {
          expect(registers.rip).toBeGreaterThanOrEqual(text.start);
          expect(registers.rip).toBeLessThan(text.end);
        }
        expect(new Set(notes.map(({ registers }) => registers.rsp)).size).toBe(cpus);
      });
    },
    limit,
  );
});

describe('a kernel that has no room for notes yet has the one of the CPU that panics', () => {
  // driver_init is the work of PID 1, kernel_init.
  test.each(
    few(1, [
      ['start_kernel', 0],
      ['driver_init', 1],
    ]),
  )(
    '%s, 2 CPUs, PID %i',
    async (place, pid) => {
      const dir = await vmcorePayload(flavour);
      const injector = await injectorFor(dir);
      let inPanic: InPanic | undefined;
      const run = await bootPayload(dir, {
        cpus: 2,
        endAt: vmcoreEnds,
        debug: async (gdb) => {
          const { kaslrOffset } = await injector.standAtPanic(gdb, place, 'no notes yet');
          inPanic = await runToHook(gdb, dir, kaslrOffset);
        },
      });
      check(run, () => {
        const notes = prstatusOf(run);
        expect(notes.map((note) => note.pid)).toEqual([pid]);
        if (inPanic === undefined) throw new Error('no stop at the hook');
        checkPanicking(notes[0], inPanic);
      });
    },
    limit,
  );
});
