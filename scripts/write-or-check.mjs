/** A file that is made from others: written, or with --check (npm run test:check) compared, which fails when it is another. */
import { readFileSync, writeFileSync } from 'node:fs';

/** @param source what it is made from, for the complaint */
export function writeOrCheck(path, wanted, source) {
  if (!process.argv.includes('--check')) writeFileSync(path, wanted);
  else if (readFileSync(path, 'utf8') !== wanted) {
    console.error(`${path} is not what ${source}: npm run docs:api, and commit it`);
    process.exitCode = 1;
  }
}
