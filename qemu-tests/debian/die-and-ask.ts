/** A death of an installed Debian, and what the same system tells of it. */
import { expect } from '@jest/globals';
import { printBlock } from '../harness/guest.js';
import { powerOff, settled } from './orders.js';
import { block, type DebianBoot, type DebianRun, type DebianSystem } from './system.js';

/**
 * The machine dies and resets; it is then started again and asked. Throws what DebianSystem.boot() throws.
 * @param between what a person does before the machine is started again
 */
export async function dieAndAsk(
  system: DebianSystem,
  death: DebianBoot,
  between: () => void = () => undefined,
): Promise<{ readonly died: DebianRun; readonly report: string }> {
  const died = await system.boot(death);
  expect(died.reasons).toEqual(['guest-reset']);
  between();
  const asked = await system.boot({
    orders: [settled, printBlock('report', 'saveoops report last'), powerOff].join(''),
    ...(death.timeout !== undefined && { timeout: death.timeout }),
  });
  expect(asked.reasons).toEqual(['guest-shutdown']);
  return { died, report: block(asked, 'report').join('\n') };
}
