/**
 * docs/api.md from the comments of what src/library exports, by typedoc: `npm run docs:api` writes it, `--check` (npm run test:check) says when
 * it is not what the comments make of it.
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Application } from 'typedoc';
import { writeOrCheck } from './write-or-check.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
process.chdir(root);
const app = await Application.bootstrapWithPlugins({ options: root });
const project = await app.convert();
if (project === undefined) process.exit(1);
app.validate(project);
await app.generateOutputs(project);
if (app.logger.hasErrors()) process.exit(1);
writeOrCheck('docs/api.md', readFileSync('.cache/api/api.md', 'utf8'), 'the comments in src/library say');
