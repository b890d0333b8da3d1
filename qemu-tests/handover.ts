/**
 * A capture that stands still before the crash kernel's first instruction, where QEMU tells what the machine is like;
 * then the crash kernel runs and prints what it finds.
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SaveoopsError } from '../src/errors.js';
import { readManifest } from '../src/image/payload-folder.js';
import type { GdbRemote } from '../src/machine/gdb-remote.js';
import { followEntryStub, runTo, type ArmedEntry } from '../src/machine/kernel-debugger.js';
import type { QmpClient } from '../src/machine/qmp.js';
import type { ScenarioResult } from '../src/machine/scenario.js';
import type { Manifest } from '../src/payload/manifest.js';
import { regionPlaces } from '../src/stubs/shared-layout.js';
import { bootPayload, check, type BootOptions } from './harness/boot.js';
import { e820Type, readE820 } from './harness/machine-facts.js';
import { vmcoreTold } from './vmcore-guests.js';

export const lowMemory = 640 << 10;

export interface Handover {
  readonly run: ScenarioResult;
  /** Physical address of the crash region. */
  readonly region: bigint;
  /** Before its first instruction: HMP's `info registers` of the CPU that starts it. */
  readonly registers: string;
  /** Then: the first 640 KiB. */
  readonly low: Buffer;
  /** Then: what the crash stub put from PLACE_ELFCOREHDR to PLACE_NOTES_END. */
  readonly headers: Buffer;
  /** At the end, when the crash kernel has told: the first 640 KiB. */
  readonly lowAfter: Buffer;
}

/** Milliseconds; on a busy host a boot takes several times what it takes on an idle one. */
const arrival = 200_000;

/** Boots a payload of vmcorePayload(), lets it panic by itself, and looks at it at that point and at the end. */
export async function handover(dir: string, options: BootOptions = {}): Promise<Handover> {
  const manifest = await readManifest(dir);
  const atEntry = meeting<{ cpu: number; region: bigint }>();
  const looked = meeting<undefined>();
  const folder = await mkdtemp(join(tmpdir(), 'svo-'));
  let seen: Omit<Handover, 'run'> | undefined;
  try {
    const run = await bootPayload(dir, {
      ...options,
      endAt: [/---\[ end Kernel panic/, /^saveoops: E/],
      // The memory can be read when the guest has powered off.
      extra: ['-no-shutdown', ...(options.extra ?? [])],
      debug: async (gdb) => {
        const deadline = Date.now() + arrival;
        const { region } = await crashRegion(gdb, manifest, deadline);
        // Not in the stub: TCG executes code in the page of a breakpoint fifty times more slowly.
        const address = region + BigInt(regionPlaces.CRASH_KERNEL);
        await gdb.setBreakpoint(address);
        const { thread = '1' } = await runTo(gdb, address, deadline, 'the crash kernel');
        await gdb.removeBreakpoint(address);
        atEntry.come({ cpu: Number.parseInt(thread, 16) - 1, region });
        await looked.here;
        await gdb.detach();
      },
      meanwhile: async (machine, connect) => {
        const { cpu, region } = await atEntry.here;
        const qmp = await connect();
        const save = async (from: bigint, size: number): Promise<Buffer> => {
          const path = join(folder, 'memory');
          await qmp.saveMemory(from, size, path);
          return await readFile(path);
        };
        const registers = await monitor(qmp, 'info registers', cpu);
        const low = await save(0n, lowMemory);
        const { ELFCOREHDR, NOTES_END } = regionPlaces;
        const headers = await save(region + BigInt(ELFCOREHDR), NOTES_END - ELFCOREHDR);
        looked.come(undefined);
        await machine.waitForLine([new RegExp(vmcoreTold)], { timeoutMs: arrival });
        seen = { region, registers, low, headers, lowAfter: await save(0n, lowMemory) };
        await qmp.quit();
      },
    });
    return check(run, () => {
      if (seen === undefined) throw new Error('the crash kernel did not tell of /proc/vmcore');
      return { run, ...seen };
    });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** One command of QEMU's human monitor. */
export async function monitor(qmp: QmpClient, command: string, cpu = 0): Promise<string> {
  return String(await qmp.execute('human-monitor-command', { 'command-line': command, 'cpu-index': cpu }));
}

/**
 * From a machine that stands before its first instruction to the primary's first: gives where the crash region is, by
 * the E820 map that the primary gets.
 */
export async function crashRegion(
  gdb: GdbRemote,
  { debug, memory }: Manifest,
  deadline: number,
): Promise<ArmedEntry & { readonly region: bigint }> {
  const entry = await followEntryStub(gdb, debug, deadline);
  await gdb.setPhysicalMemory(true);
  const map = readE820(await gdb.readMemory(entry.bootParams, 4096));
  await gdb.setPhysicalMemory(false);
  const region = map.find(
    ({ start, end, type }) => type === e820Type.reserved && end - start === BigInt(memory.size),
  );
  if (region !== undefined) return { ...entry, region: region.start };
  throw new SaveoopsError('tool', 'the primary gets no crash region', {
    where: "the primary's E820 map",
    found: map.map(({ start, end, type }) => `${start.toString(16)}-${end.toString(16)} ${type}`).join(', '),
    wanted: `a reserved range of ${memory.size} bytes`,
  });
}

/** A place where one side waits for what the other brings. */
export function meeting<T>(): { readonly here: Promise<T>; readonly come: (value: T) => void } {
  let come: (value: T) => void = () => undefined;
  const here = new Promise<T>((resolve) => (come = resolve));
  return { here, come };
}
