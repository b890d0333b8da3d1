/** What was typed on an installed Debian and printed there, kept for the documentation that quotes it. */
import { appendFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { cache } from '../harness/folders.js';
import { block, type DebianBoot, type DebianSystem } from './system.js';

export type Blocks = Readonly<Record<string, readonly string[]>>;

export class Transcript {
  private readonly file: string;

  /** In .cache/debian/NAME.txt, made anew. */
  constructor(name: string) {
    this.file = join(cache, 'debian', `${name}.txt`);
    rmSync(this.file, { force: true });
  }

  add(...lines: readonly string[]): void {
    appendFileSync(this.file, [...lines, ''].join('\n'));
  }

  /**
   * Boots; gives what the orders printed as blocks of these names, and as `reasons` how the boot ended. Kept are blocks of typed().
   * Throws an Error when a block is not whole, and what DebianSystem.boot() throws.
   */
  async boot(
    system: DebianSystem,
    orders: readonly string[],
    wanted: readonly string[],
    more: DebianBoot = {},
  ): Promise<Blocks> {
    const run = await system.boot({ orders: orders.join(''), timeout: 3600, ...more });
    const blocks = Object.fromEntries(wanted.map((name) => [name, block(run, name)]));
    for (const lines of Object.values(blocks)) {
      if (lines[0]?.startsWith('# ') === true) this.add(...lines);
    }
    this.add(`-- ${run.reasons.join(' ')}`);
    return { ...blocks, reasons: run.reasons };
  }
}
