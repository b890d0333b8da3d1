/** Executed guest instructions, counted by a QEMU plugin of our own: count-instructions.c, which says what it counts. */
import { execFileSync } from 'node:child_process';
import { constants, createReadStream, readFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { runScenario } from '../../src/machine/scenario.js';
import type { MachineSpec } from '../../src/machine/qemu-command.js';
import { cache, digestOf, makeOnce, repository } from '../harness/folders.js';

/** Where to count: an address as the CPU uses it, or where a block of instructions begins with these bytes (up to 16). */
export type Place = { readonly name: string } & ({ readonly at: bigint } | { readonly code: Uint8Array });

/** Each visit of `places` counts, once the CPU has been at `after`, the name of one; the first at one of `stop` ends the run. */
export interface Places {
  readonly places: readonly Place[];
  readonly after?: string;
  readonly stop: readonly string[];
}

export interface Visit {
  readonly place: string;
  /** Instructions that the CPU had executed before the one there, since the machine's start. */
  readonly count: bigint;
}

export interface Counted {
  readonly visits: readonly Visit[];
  /** Bytes that the guest had read from all its disks. */
  readonly bytesRead: number;
}

/** Seconds; of one machine. */
const timeout = 900;

/**
 * Runs a machine with one CPU until it comes to a place that stops it. `folder`: for its logs. Virtual time is the number of
 * instructions (-icount), so that what waits for a clock executes the same number in each run. Throws when it does not come there.
 */
export async function countInstructions(
  machine: MachineSpec,
  folder: string,
  { places, after, stop }: Places,
): Promise<Counted> {
  const pipe = join(folder, 'counts');
  execFileSync('mkfifo', [pipe]);
  const plugin = await counterPlugin();
  const options = [
    `out=${pipe}`,
    ...places.map((place) =>
      'at' in place
        ? `at=${place.name}:${place.at.toString(16)}`
        : `code=${place.name}:${Buffer.from(place.code).toString('hex')}`,
    ),
    ...(after === undefined ? [] : [`after=${after}`]),
    ...stop.map((name) => `stop=${name}`),
  ];
  let counted: Counted | undefined;
  const { end, reproduce } = await runScenario({
    machine: {
      ...machine,
      extra: [
        ...(machine.extra ?? []),
        ...['-icount', 'shift=0,sleep=off'],
        ...['-plugin', `${plugin},${options.join(',')}`],
      ],
    },
    folder,
    timeout,
    meanwhile: async (running, connect) => {
      const visits: Visit[] = [];
      for await (const line of createInterface(createReadStream(pipe))) {
        const [place = '', count = '0'] = line.split(' ');
        visits.push({ place, count: BigInt(count) });
        if (stop.includes(place)) break;
      }
      if (!stop.includes(visits.at(-1)?.place ?? '')) return;
      const stats = await (await connect()).execute('query-blockstats');
      counted = { visits, bytesRead: readOf(stats) };
      await running.stop();
    },
  }).finally(async () => {
    // A QEMU that ended before it opened the pipe leaves its reader waiting: a writer that comes and goes is the end for it.
    await open(pipe, constants.O_WRONLY | constants.O_NONBLOCK).then(
      async (writer) => await writer.close(),
      () => undefined, // nobody reads any more
    );
  });
  if (counted === undefined)
    throw new Error(`not at ${stop.join(' or ')}: ${JSON.stringify(end)}\n${reproduce}`);
  return counted;
}

/** The count at the last visit of a place. Throws when there was none. */
export function countAt({ visits }: Counted, place: string): bigint {
  const visit = visits.findLast((each) => each.place === place);
  if (visit === undefined) throw new Error(`never at ${place}`);
  return visit.count;
}

function readOf(stats: unknown): number {
  return (stats as { stats: { rd_bytes: number } }[]).reduce(
    (sum, { stats: each }) => sum + each.rd_bytes,
    0,
  );
}

async function counterPlugin(): Promise<string> {
  const source = join(repository, 'qemu-tests/bench/count-instructions.c');
  return await makeOnce(join(cache, 'bench', `count-${digestOf(readFileSync(source))}.so`), (out) => {
    execFileSync('gcc', [
      '-O2',
      '-Wall',
      '-Wextra',
      '-shared',
      '-fPIC',
      '-fvisibility=hidden',
      '-o',
      out,
      source,
    ]);
    return Promise.resolve();
  });
}
