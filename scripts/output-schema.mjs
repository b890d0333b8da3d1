/**
 * saveoops-output.schema.json from the types in src/commands/outputs.ts, by ts-json-schema-generator: `npm run docs:api` writes it, `--check`
 * (npm run test:check) says when it is not what the types make of it.
 */
import { fileURLToPath } from 'node:url';
import { createGenerator } from 'ts-json-schema-generator';
import { writeOrCheck } from './write-or-check.mjs';

process.chdir(fileURLToPath(new URL('..', import.meta.url)));
const schema = createGenerator({
  path: 'src/commands/outputs.ts',
  tsconfig: 'tsconfig.json',
  type: 'Outputs',
  expose: 'none',
  topRef: false,
  jsDoc: 'extended',
  additionalProperties: false,
  skipTypeCheck: true,
}).createSchema('Outputs');
const wanted = `${JSON.stringify(
  { ...schema, title: 'What saveoops --json prints: for each command a definition', required: [] },
  null,
  2,
)}\n`;
writeOrCheck('saveoops-output.schema.json', wanted, 'src/commands/outputs.ts says');
