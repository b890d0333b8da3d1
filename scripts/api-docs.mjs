/**
 * docs/api.md from the comments of what src/library exports, by typedoc: `npm run docs:api` writes it, `--check` (npm run test:check) says when
 * it is not what the comments make of it.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Application } from 'typedoc';

const root = fileURLToPath(new URL('..', import.meta.url));
process.chdir(root);
const app = await Application.bootstrapWithPlugins({ options: root });
const project = await app.convert();
if (project === undefined) process.exit(1);
app.validate(project);
await app.generateOutputs(project);
if (app.logger.hasErrors()) process.exit(1);
const wanted = readFileSync(join(root, '.cache/api/api.md'), 'utf8');
const path = join(root, 'docs/api.md');
if (!process.argv.includes('--check')) writeFileSync(path, wanted);
else if (readFileSync(path, 'utf8') !== wanted) {
  console.error('docs/api.md is not what the comments in src/library say: npm run docs:api, and commit it');
  process.exitCode = 1;
}
