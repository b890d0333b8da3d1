/** What is on the screen when all is over. */
import { join } from 'node:path';
import { withTemporaryFolder } from '../../src/host/files.js';
import type { QmpClient } from '../../src/machine/qmp.js';
import type { BootOptions } from './boot.js';

/** For one run: QEMU stops where the crash kernel resets the machine, all as it was, and `read` looks at it. */
export function screenAtReset<Seen>(read: (qmp: QmpClient, path: string) => Promise<Seen>): {
  readonly options: Pick<BootOptions, 'endAt' | 'extra' | 'meanwhile'>;
  /** Throws when the run did not come that far. */
  readonly seen: () => Seen;
} {
  let seen: { readonly value: Seen } | undefined;
  return {
    seen: () => {
      if (seen === undefined) throw new Error('lost: the crash kernel did not reset the machine');
      return seen.value;
    },
    options: {
      endAt: [],
      extra: ['-no-shutdown'],
      meanwhile: async (_, connect) => {
        const qmp = await connect();
        await qmp.event('SHUTDOWN');
        await withTemporaryFolder(async (folder) => {
          seen = { value: await read(qmp, join(folder, 'screen.ppm')) };
        });
        await qmp.quit();
      },
    },
  };
}
