/** The keyboard of a machine under test. */
import type { QmpClient } from '../../src/machine/qmp.js';

/** @param names QEMU's, "qcode": a letter, "ret", "down" */
export async function pressKeys(qmp: QmpClient, ...names: readonly string[]): Promise<void> {
  for (const data of names) await qmp.execute('send-key', { keys: [{ type: 'qcode', data }] });
}
