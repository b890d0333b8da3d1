/**
 * Links the hook to its place in the kernel: PC-relative references only, so hook and kernel move together under KASLR
 * and the hook needs no relocation entry.
 */
import { ByteWriter } from '../bytes/byte-writer.js';
import { brokenHook, readHookObject } from './hook-object.js';

export interface LinkedHook {
  /** Link-time virtual address of bytes[0]. */
  readonly address: bigint;
  readonly bytes: Uint8Array;
  /** Link-time virtual addresses of the hook's own symbols. */
  readonly symbols: ReadonlyMap<string, bigint>;
}

/** Bytes of .text of the hook object: what the gap must hold. */
export function hookSize(object: Uint8Array): number {
  return readHookObject(object).text.length;
}

/** Offset of one of the hook's own symbols, bytes. Throws `invariant` when the object has none of that name. */
export function hookSymbol(object: Uint8Array, name: string): bigint {
  const offset = readHookObject(object).symbols.get(name);
  if (offset === undefined) throw brokenHook(`no symbol ${name}`);
  return offset;
}

/**
 * @param resolve gives the link-time virtual address of a kernel symbol
 * Throws `missing-fact` (unknown symbol) or `invariant` (the object is not what the build makes).
 */
export function linkHook(object: Uint8Array, address: bigint, resolve: (name: string) => bigint): LinkedHook {
  const hook = readHookObject(object);
  const bytes = Uint8Array.from(hook.text);
  const symbols = new Map([...hook.symbols].map(([name, offset]) => [name, address + offset]));
  const writer = new ByteWriter(bytes);
  for (const { place, name, addend } of hook.references) {
    const target = symbols.get(name) ?? resolve(name);
    const value = target + addend - (address + BigInt(place));
    if (value !== BigInt.asIntN(32, value)) throw brokenHook(`${name} out of reach`);
    writer.u32(place, Number(BigInt.asUintN(32, value)));
  }
  return { address, bytes, symbols };
}
