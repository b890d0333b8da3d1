/**
 * The digests of the payload: XXH3, which the COM32 module checks over what it has read, XXH32, which the bare-metal code checks over
 * parts and structures, and SHA-256, which the crash stub checks at the crash and `inspect` at any time. node:crypto does the bulk; tests
 * compare it with @noble/hashes, which is also what runs where node:crypto has no SHA-256 (a FIPS or stripped build).
 */
import { createHash, getHashes } from 'node:crypto';
import { sha256 as portableSha256 } from '@noble/hashes/sha2.js';
import { createXXHash3, createXXHash32, type IHasher } from 'hash-wasm';

const native = getHashes().includes('sha256');
const [hasher32, hasher3] = await Promise.all([createXXHash32(), createXXHash3()]);
/** WebAssembly has memory of its own: bytes are copied to it in pieces that stay in the processor's cache, not all at once. */
const piece = 64 << 10;

/** 32 bytes. */
export function sha256(bytes: Uint8Array): Uint8Array {
  return native ? createHash('sha256').update(bytes).digest() : portableSha256(bytes);
}

/** Lower-case hexadecimal. */
export function sha256Hex(bytes: Uint8Array): string {
  return Buffer.from(sha256(bytes)).toString('hex');
}

/** XXH32 with seed 0, as an unsigned number. */
export function xxh32(bytes: Uint8Array): number {
  return Number(`0x${sumBy(hasher32, [bytes])}`);
}

/** XXH3 with seed 0, 64 bits, of pieces that follow each other. */
export function xxh3(...pieces: readonly Uint8Array[]): bigint {
  return BigInt(`0x${sumBy(hasher3, pieces)}`);
}

function sumBy(hasher: IHasher, pieces: readonly Uint8Array[]): string {
  hasher.init();
  for (const bytes of pieces) {
    for (let at = 0; at < bytes.length; at += piece) hasher.update(bytes.subarray(at, at + piece));
  }
  return hasher.digest('hex');
}
