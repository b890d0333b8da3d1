/** `saveoops config`: the options that build would take, as a configuration file that says the same. */
import { stringify } from 'yaml';
import type { OptionValue } from '../config/option-spec.js';
import { forJson } from '../safe-text.js';
import type { Output } from '../host/output.js';

/** What `saveoops config --json` prints. */
export interface ConfigResult {
  readonly version: 1;
  /** The configuration file that was read; null: none. */
  readonly file: string | null;
  /** The options that are set, by name. */
  readonly options: Readonly<Record<string, OptionValue>>;
}

export interface ConfigOptions {
  /** Those that are set, by name. */
  readonly options: ConfigResult['options'];
  /** The configuration file; undefined: none. */
  readonly file: string | undefined;
  readonly json: boolean;
}

export function runConfig({ options, file, json }: ConfigOptions, io: Pick<Output, 'out'>): void {
  const result: ConfigResult = { version: 1, file: file ?? null, options };
  io.out(json ? `${forJson(result)}\n` : render(result));
}

function render({ file, options }: ConfigResult): string {
  const source = file ?? 'no configuration file';
  return `# Options of saveoops build, from ${source} and the command line\n${stringify(options, { lineWidth: 0 })}`;
}
