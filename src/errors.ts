/**
 * The closed family of errors that Saveoops reports to a person.
 *
 * Every member says what was found, what was wanted, where, and what to do. Only cli.ts prints them and turns
 * them into an exit code; library code throws them. An error that is not a SaveoopsError is a bug in Saveoops.
 */
import { forTerminal } from './safe-text.js';

/** Why an input or the machine was refused; `docs/errors.md` lists them with their exit codes. */
export type ErrorKind =
  | 'usage' // an option is missing, unknown or contradicts another
  | 'truncated' // a structure ends before its size says
  | 'format' // bytes do not follow the format they claim
  | 'wrong-file' // a well-formed file of another kind (an initrd given as kernel)
  | 'unsupported' // valid, but outside what Saveoops can do
  | 'missing-fact' // a kernel symbol, type or member that arming needs was not found
  | 'no-space' // parts do not fit a given size
  | 'tool' // a host tool is missing or failed
  | 'file' // an operating-system error on a named path
  | 'digest' // stored and computed digests differ
  | 'invariant'; // the independent check of a finished result failed

/** Process exit codes. `saveoops test` uses 0, 1 and 2 for passed, failed and lost as well. */
export const exitCodeOf: Readonly<Record<ErrorKind, number>> = {
  usage: 64,
  truncated: 65,
  format: 65,
  'wrong-file': 65,
  digest: 65,
  unsupported: 66,
  'missing-fact': 66,
  'no-space': 67,
  tool: 69,
  file: 74,
  invariant: 70,
};

export interface ErrorDetails {
  /** What was there: a value, a size, a message of the operating system. */
  readonly found: string;
  /** What would have been accepted. */
  readonly wanted: string;
  /** File, structure and offset, as precisely as known. */
  readonly where: string;
  /** What the person can do about it. */
  readonly hint?: string | undefined;
  readonly cause?: unknown;
}

/** Why an input or the machine was refused, as facts; `message` is the summary. */
export class SaveoopsError extends Error {
  override readonly name = 'SaveoopsError';
  readonly kind: ErrorKind;
  /** What was there: a value, a size, a message of the operating system. */
  readonly found: string;
  /** What would have been accepted. */
  readonly wanted: string;
  /** File, structure and offset, as precisely as known. */
  readonly where: string;
  /** What the person can do about it. */
  readonly hint: string | undefined;

  /** @param summary one clause without a final full stop: "not a bzImage" */
  constructor(kind: ErrorKind, summary: string, details: ErrorDetails) {
    super(summary, details.cause === undefined ? undefined : { cause: details.cause });
    this.kind = kind;
    this.found = details.found;
    this.wanted = details.wanted;
    this.where = details.where;
    this.hint = details.hint;
  }
}

/** The text a person sees: one fact a line, in a fixed order, whatever a hostile file has put into a fact. */
export function renderError(error: SaveoopsError): string {
  const lines = [
    `saveoops: ${error.message}`,
    `  where:  ${error.where}`,
    `  found:  ${error.found}`,
    `  wanted: ${error.wanted}`,
  ];
  if (error.hint !== undefined) lines.push(`  do:     ${error.hint}`);
  return lines.map(forTerminal).join('\n');
}
