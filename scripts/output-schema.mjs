/**
 * saveoops-output.schema.json from the types in src/commands/outputs.ts, by ts-json-schema-generator: `npm run docs:api` writes it, `--check`
 * (npm run test:check) says when it is not what the types make of it.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createGenerator } from 'ts-json-schema-generator';

const root = fileURLToPath(new URL('..', import.meta.url));
const schema = createGenerator({
  path: join(root, 'src/commands/outputs.ts'),
  tsconfig: join(root, 'tsconfig.json'),
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
const path = join(root, 'saveoops-output.schema.json');
if (!process.argv.includes('--check')) writeFileSync(path, wanted);
else if (readFileSync(path, 'utf8') !== wanted) {
  console.error(
    'saveoops-output.schema.json is not what src/commands/outputs.ts says: npm run docs:api, and commit it',
  );
  process.exitCode = 1;
}
