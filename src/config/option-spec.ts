/** One option, as the table in src/commands/options.ts has it: for the command line, the configuration file and its schema. */
export interface OptionSpec {
  readonly type: 'string' | 'number' | 'boolean';
  readonly describe: string;
  readonly array?: boolean;
  readonly required?: boolean;
  readonly default?: string | number | boolean;
  readonly choices?: readonly string[];
}

/** What an option can have as its value. */
export type OptionValue = string | number | boolean | readonly string[];
