/** A capture wherever it lies: in a directory, or on a file system inside a disk image. */
import type { CaptureName } from './capture-name.js';

export interface StoredFile {
  readonly name: string;
  /** Bytes. */
  readonly size: number;
}

export interface StoredCapture extends CaptureName {
  /** For a person: the directory's path, or IMAGE:/path. */
  readonly where: string;
  readonly files: readonly StoredFile[];
  /**
   * Up to `limit` bytes from the end of a file; undefined when there is no such file. Throws `file` or `tool`.
   */
  readonly read: (name: string, limit: number) => Promise<FilePart | undefined>;
  /** A shell command that copies a file of it to the working directory; undefined: it can be used where it is. */
  readonly copyCommand: ((name: string) => string) | undefined;
}

export interface FilePart {
  readonly bytes: Uint8Array;
  /** The beginning is not there: the file is larger. */
  readonly cut: boolean;
}

/** Newest first; of the same second by name. */
export function newestFirst(captures: readonly StoredCapture[]): readonly StoredCapture[] {
  return [...captures].sort((a, b) => (a.name < b.name ? 1 : a.name > b.name ? -1 : 0));
}
