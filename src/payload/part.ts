import { sha256, xxh32 } from '../bytes/digests.js';

/** A run of bytes with the digests that are checked at boot and at the crash. */
export interface Part {
  readonly bytes: Uint8Array;
  readonly xxh32: number;
  /** 32 bytes. */
  readonly sha256: Uint8Array;
}

export function digestPart(bytes: Uint8Array): Part {
  return { bytes, xxh32: xxh32(bytes), sha256: sha256(bytes) };
}
