/**
 * npm run fuzz: every target in turn, for a minute in all, or for --seconds. A finding is written to src/fuzz/findings, where a
 * test runs it from then on, and ends the program with status 1.
 */
import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import yargs from 'yargs';
import { hideBin } from 'yargs/helpers';
import { makeFolder } from '../host/files.js';
import { fuzzTarget } from './fuzz-target.js';
import { targets } from './targets.js';

/** This file is compiled to dist/src/fuzz/; findings are sources. */
const folder = fileURLToPath(new URL('../../../src/fuzz/findings/', import.meta.url));

const { seconds, target, seed } = await yargs(hideBin(process.argv))
  .options({
    seconds: { type: 'number', default: 60, describe: 'time in all' },
    target: { type: 'string', choices: targets.map(({ name }) => name), describe: 'only this one' },
    seed: { type: 'number', default: Date.now() % 2 ** 31, describe: 'of the random numbers' },
  })
  .strict()
  .parseAsync();
const chosen = targets.filter(({ name }) => target === undefined || name === target);
let failed = false;
for (const { name } of chosen) {
  const result = await fuzzTarget(name, seed, (1000 * seconds) / chosen.length);
  console.log(
    `${name.padEnd(18)} ${String(result.count).padStart(9)} inputs, ${result.corpus} kept, ${result.coverage} characters of source reached, seed ${seed}`,
  );
  for (const { input, what } of result.findings) {
    failed = true;
    const file = join(folder, name, createHash('sha256').update(input).digest('hex').slice(0, 16));
    await makeFolder(join(folder, name));
    await writeFile(file, input);
    console.log(`  ${file}\n  ${what.split('\n').slice(0, 4).join('\n  ')}`);
  }
}
process.exit(failed ? 1 : 0);
