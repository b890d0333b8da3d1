/** What --json prints, against the schema that the package documents. */
import { readFileSync } from 'node:fs';
import { Ajv, type ValidateFunction } from 'ajv';

const path = new URL('../../../saveoops-output.schema.json', import.meta.url);
const compiled = new Map<string, ValidateFunction>();

/** Throws an Error that says what the schema does not allow. */
export function checkOutput(command: string, text: string): void {
  const { properties } = JSON.parse(readFileSync(path, 'utf8')) as {
    readonly properties: Readonly<Record<string, object>>;
  };
  const schema = properties[command];
  if (schema === undefined) throw new Error(`saveoops-output.schema.json does not know ${command}`);
  const validate =
    compiled.get(command) ?? new Ajv({ allErrors: true, allowUnionTypes: true }).compile(schema);
  compiled.set(command, validate);
  if (!validate(JSON.parse(text))) {
    throw new Error(`saveoops ${command} --json: ${JSON.stringify(validate.errors, null, 1)}\n${text}`);
  }
}
