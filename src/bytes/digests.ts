/**
 * The two digests of the payload: XXH32, which the bare-metal code checks at boot, and SHA-256, which the crash stub
 * checks at the crash and `inspect` at any time. node:crypto does the bulk; tests compare it with @noble/hashes,
 * which is also what runs where node:crypto has no SHA-256 (a FIPS or stripped build).
 */
import { createHash, getHashes } from 'node:crypto';
import { sha256 as portableSha256 } from '@noble/hashes/sha2.js';
import xxhash from 'xxhash-wasm';

const native = getHashes().includes('sha256');
const { create32 } = await xxhash();
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
  const state = create32(0);
  for (let at = 0; at < bytes.length; at += piece) state.update(bytes.subarray(at, at + piece));
  return state.digest() >>> 0;
}
