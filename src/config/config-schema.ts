/** JSON schema of the configuration file, for editors and checks: from the table of options, as the reader is. */
import type { OptionSpec } from './option-spec.js';

/** Source: JSON Schema draft-07, which editors' YAML modes know. */
export function configSchema(
  options: Readonly<Record<string, OptionSpec>>,
): Readonly<Record<string, unknown>> {
  return {
    $schema: 'http://json-schema.org/draft-07/schema#',
    title: 'Saveoops configuration',
    description: 'Options of saveoops build; those on the command line win.',
    type: 'object',
    additionalProperties: false,
    properties: Object.fromEntries(Object.entries(options).map(([name, spec]) => [name, property(spec)])),
  };
}

function property({ type, describe, array, choices, default: standard }: OptionSpec): object {
  const value = choices === undefined ? { type } : { type, enum: choices };
  return {
    description: describe,
    ...(array === true ? { anyOf: [value, { type: 'array', items: value }] } : value),
    ...(standard === undefined ? {} : { default: standard }),
  };
}

/** The file as the package ships it. */
export function renderSchema(options: Readonly<Record<string, OptionSpec>>): string {
  return `${JSON.stringify(configSchema(options), null, 2)}\n`;
}
