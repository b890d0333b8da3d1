/** What a report is told of the capture beside its log. */
import type { CaptureRecord } from '../captures/capture-record.js';

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
