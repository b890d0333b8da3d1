/** `saveoops config`: the options that build would take, as a configuration file that says the same. */
import { stringify } from 'yaml';
import type { ConfigFile } from '../config/config-file.js';

/** @param values of the options that are set, by name */
export function renderConfig(
  values: Readonly<Record<string, unknown>>,
  file: ConfigFile | undefined,
): string {
  const source = file === undefined ? 'no configuration file' : file.path;
  return `# Options of saveoops build, from ${source} and the command line\n${stringify(values, { lineWidth: 0 })}`;
}
