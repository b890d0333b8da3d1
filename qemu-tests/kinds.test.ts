/**
 * Kinds of death: what kills a stock kernel, its log comes back with that death's own lines. docs/results/kinds-of-death.md
 * has the table. By default every other kind runs, once, on one or two CPUs in turn; all of them: `npm run test:all`.
 */
import { describe, expect, test } from '@jest/globals';
import { logBegins } from '../src/capture-initramfs/markers.js';
import { everyLane } from '../src/testkit/lanes.js';
import { bootPayload, captured, check, serialConsole } from './harness/boot.js';
import { payload } from './harness/payloads.js';
import { injectorFor } from './inject.js';
import { crimeScene, dyingGuest, guestLives, guestWaits } from './kinds/guest.js';
import { kinds, nullDereference, type Kind } from './kinds/kinds.js';

const minutes = 60_000;

/** Where a kernel dies, and what it says there of an oops. */
interface Scene {
  readonly entered: string;
  readonly task: string;
  readonly afterOops: RegExp;
}

/** With oops=panic. */
const userspace: Scene = {
  entered: crimeScene,
  task: 'a process',
  afterOops: /Kernel panic - not syncing: Fatal exception$/m,
};
/** The kernel cannot do without the tasks that it has before userspace: their oops is a panic in any case. */
const early: readonly Scene[] = [
  {
    entered: 'rest_init',
    task: 'the first task',
    afterOops: /Kernel panic - not syncing: Attempted to kill the idle task!/,
  },
  {
    entered: 'kernel_init_freeable',
    task: 'init before userspace',
    afterOops: /Kernel panic - not syncing: Attempted to kill init! exitcode=0x0000000/,
  },
];

interface Lane {
  readonly kind: Kind;
  readonly cpus: number;
  readonly scene: Scene;
}

const all: Lane[] = kinds.flatMap((kind) =>
  (kind.cpus ?? [1, 2]).flatMap((cpus) => [
    { kind, cpus, scene: userspace },
    ...(kind.oops === true ? early.map((scene) => ({ kind, cpus, scene })) : []),
  ]),
);
/** Kinds that are alike stand beside each other. */
const everyThird = kinds.flatMap((kind, index): Lane[] => {
  if (index % 3 !== 0) return [];
  const counts = kind.cpus ?? [1, 2];
  return [{ kind, cpus: counts[(index / 3) % counts.length] ?? 1, scene: userspace }];
});
const nameOf = ({ kind, cpus, scene }: Lane): string => `${kind.name}, ${scene.task}, ${cpus} CPU`;
const lanes = everyLane ? all : everyThird;

async function dyingPayload(oopsPanic: boolean): Promise<string> {
  const name = oopsPanic ? 'kinds-oops-panic' : 'kinds';
  return await payload({ flavour: 'amd64', initrds: [await dyingGuest()], oopsPanic, name });
}

describe('the log comes back after', () => {
  test.each(lanes.map((lane) => [nameOf(lane), lane] as const))(
    '%s',
    async (_, { kind, cpus, scene }) => {
      const { append = '', task = 'scene', crime, oops = false, nmi = false, silent = false } = kind;
      const dir = await dyingPayload(oops && scene === userspace);
      const injector = await injectorFor(dir);
      let committed = (): void => undefined;
      const crimeDone = new Promise<void>((resolve) => (committed = resolve));
      const result = await bootPayload(dir, {
        cpus,
        extraAppend: `${serialConsole} KIND=${task} ${append}`,
        ...(crime !== undefined && {
          debug: async (gdb): Promise<void> => {
            const kernel = await injector.debuggerOf(gdb);
            await crime(kernel, await kernel.arriveAt(scene.entered));
            await gdb.detach();
            committed();
          },
        }),
        ...(nmi && {
          meanwhile: async (machine, qmp): Promise<void> => {
            const control = await qmp();
            if (crime !== undefined) await crimeDone;
            else await machine.waitForLine([new RegExp(guestWaits)], { timeoutMs: 2 * minutes });
            await control.execute('inject-nmi');
          },
        }),
      });
      const log = captured(result, 'Kernel panic - not syncing: ');
      check(result, () => {
        for (const line of kind.signature) expect(log).toMatch(line);
        if (oops) expect(log).toMatch(scene.afterOops);
        // One death, not a second one that our stub or its calls into the kernel brought about.
        expect(log.match(/Kernel panic - not syncing: /g)).toHaveLength(1);
        const before = result.serial.slice(0, result.serial.indexOf(logBegins));
        expect(before.includes('Kernel panic - not syncing: ')).toBe(!silent);
      });
    },
    4 * minutes,
  );
});

test(
  'without --oops-panic the kernel ends the process of an oops, and the system runs on',
  async () => {
    const dir = await dyingPayload(false);
    const injector = await injectorFor(dir);
    const result = await bootPayload(dir, {
      extraAppend: `${serialConsole} KIND=scene`,
      endAt: [new RegExp(guestLives), /Kernel panic/],
      debug: async (gdb) => {
        const kernel = await injector.debuggerOf(gdb);
        await kernel.arriveAt(crimeScene);
        await nullDereference(kernel);
        await gdb.detach();
      },
    });
    check(result, () => {
      expect(result.end).toEqual({ kind: 'line', line: guestLives });
      expect(result.serial).toContain('BUG: kernel NULL pointer dereference');
      expect(result.serial).not.toContain('saveoops: ');
    });
  },
  4 * minutes,
);
