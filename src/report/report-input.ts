/** What a report is made of. */
import type { CaptureRecord } from '../saved-captures/capture-record.js';

export interface ReportInput {
  /** For a person: path, or IMAGE:/path. */
  readonly where: string;
  /** The log or serial log as text; undefined: there is none. */
  readonly log: string | undefined;
  /** The log's beginning was left out. */
  readonly cut: boolean;
  /** `uname -r` of the dead kernel, where it is known from elsewhere than the log. */
  readonly release?: string | undefined;
  readonly capture: CaptureInput | undefined;
}

export interface CaptureInput {
  readonly name: string;
  readonly id: string;
  readonly time: string;
  readonly incomplete: boolean;
  readonly files: readonly { readonly name: string; readonly size: number }[];
  readonly record: CaptureRecord | undefined;
  /** capture.log; undefined: there is none. */
  readonly captureLog: string | undefined;
  /** SHA-256 of the log that was read, hexadecimal; undefined: it was not read whole. */
  readonly logSha256: string | undefined;
  readonly copyCommand: ((name: string) => string) | undefined;
}
