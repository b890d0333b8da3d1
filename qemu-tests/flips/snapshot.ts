/** A machine kept at one moment, from which any number of runs go on: QEMU's migration to a file. */
import { copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import { readManifest } from '../../src/image/payload-folder.js';
import { shellWord } from '../../src/host/shell-word.js';
import type { ScenarioResult } from '../../src/machine/scenario.js';
import { injectorFor } from '../inject.js';
import { bootFrom, bootPayload, check, type RunOptions } from '../harness/boot.js';
import { emptyFolder } from '../harness/recipes.js';
import { regionBase } from '../harness/region.js';
import type { Damage } from './damage.js';

export interface Snapshot {
  readonly image: string;
  /** What QEMU has written of the machine. */
  readonly state: string;
  readonly machine: Pick<RunOptions, 'memory' | 'cpus'>;
  /** Physical address of the crash region. */
  readonly region: number;
  /** Where the machine spins, virtual, and what has to be there to go on. */
  readonly spinning: { readonly at: bigint; readonly code: Buffer };
}

/** QEMU tells when the machine has been written, or read. */
const told = ['-global', 'migration.x-events=on'];

/** A jump to itself. QEMU takes over no machine that stands at a breakpoint, so this one runs, on the spot. */
const spin = Buffer.from([0xeb, 0xfe]);

/** Boots a payload until it enters a function of the primary kernel, and keeps the machine there. */
export async function snapshotAt(
  dir: string,
  functionName: string,
  machine: Snapshot['machine'],
  append: string,
): Promise<Snapshot> {
  const folder = emptyFolder('snapshot');
  const [image, state] = [join(folder, 'boot.img'), join(folder, 'state')];
  const { memory } = await readManifest(dir);
  const injector = await injectorFor(dir);
  let arrive: () => void = () => undefined;
  const arrived = new Promise<void>((resolve) => (arrive = resolve));
  let region = 0;
  let spinning: Snapshot['spinning'] | undefined;
  const result = await bootPayload(dir, {
    ...machine,
    extra: told,
    extraAppend: append,
    endAt: [],
    timeout: 300,
    rearrange: (made) => copyFile(made, image),
    debug: async (gdb) => {
      const kernel = await injector.debuggerOf(gdb);
      await kernel.arriveAt(functionName);
      const at = kernel.addressOf(functionName);
      spinning = { at, code: await gdb.readMemory(at, spin.length) };
      await gdb.writeMemory(at, spin);
      await gdb.detach();
      arrive();
    },
    meanwhile: async (running, connect) => {
      const qmp = await connect();
      await arrived;
      await qmp.execute('migrate', { uri: `exec:cat >${shellWord(state)}` });
      await qmp.event('MIGRATION', 'completed');
      region = await regionBase(running, memory.size);
      await qmp.quit();
    },
  });
  return check(result, () => {
    if (region === 0 || spinning === undefined) throw new Error(`the machine ended before ${functionName}`);
    return { image, state, machine, region, spinning };
  });
}

/** Goes on from the snapshot, with damage in the crash region or without. */
export async function goOn(
  { image, state, machine, region, spinning }: Snapshot,
  damage: Damage | undefined,
  endAt: readonly RegExp[],
): Promise<ScenarioResult> {
  let arrive: () => void = () => undefined;
  const arrived = new Promise<void>((resolve) => (arrive = resolve));
  return await bootFrom(
    { kind: 'disk', image },
    {
      ...machine,
      extra: ['-incoming', 'defer', ...told],
      endAt,
      timeout: 240,
      meanwhile: async (running, connect) => {
        const qmp = await connect();
        await qmp.execute('migrate-incoming', { uri: `exec:cat ${shellWord(state)}` });
        await qmp.event('MIGRATION', 'completed');
        arrive();
        await running.exited;
      },
      debug: async (gdb) => {
        await arrived;
        await gdb.writeMemory(spinning.at, spinning.code);
        if (damage !== undefined) {
          const address = BigInt(region + damage.offset);
          await gdb.setPhysicalMemory(true);
          await gdb.writeMemory(address, damage.change(await gdb.readMemory(address, damage.size)));
          await gdb.setPhysicalMemory(false);
        }
        await gdb.detach();
      },
    },
  );
}
