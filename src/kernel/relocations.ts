/**
 * The relocation lists behind the ELF file in a kernel's payload, for KASLR. Kernels without CONFIG_RANDOMIZE_BASE have none.
 *
 * Source: arch/x86/boot/compressed/misc.c handle_relocations() and arch/x86/tools/relocs.c. The lists are read
 * backwards from the end: 32-bit places until a zero, then (kernels with an absolute per-CPU segment, up to 6.14)
 * inverse 32-bit places until a zero, then 64-bit places until a zero. Each entry is the low half of a link-time
 * virtual address, sign-extended. How many lists there are is counted, not guessed from the version: Linux commit
 * 9d7de2aa8b41 ("x86/percpu/64: Use relative percpu offsets") removed the inverse list.
 */
import { ByteView } from '../bytes/byte-reader.js';
import { SaveoopsError } from '../errors.js';

export interface Relocations {
  /** Places of 64-bit words that move up by the KASLR offset: low halves of link addresses. */
  readonly words64: Uint32Array;
  /** Places of 32-bit words that move down. */
  readonly inverse32: Uint32Array;
  /** Places of sign-extended 32-bit words that move up. */
  readonly words32: Uint32Array;
}

/**
 * @param trailer what follows the ELF file in the payload; empty for a kernel without CONFIG_RANDOMIZE_BASE
 * Throws `format`.
 */
export function parseRelocations(trailer: Uint8Array, source: string): Relocations {
  const none = new Uint32Array();
  if (trailer.length < 4) return { words64: none, inverse32: none, words32: none };
  const view = new ByteView(trailer, `${source}: relocation lists`);
  const count = Math.floor(trailer.length / 4);
  const entries = new Uint32Array(count);
  for (let i = 0; i < count; i++) entries[i] = view.u32(4 * i, 'relocation');
  const zeros: number[] = [];
  for (let i = 0; i < count; i++) if (entries[i] === 0) zeros.push(i);
  const starts = zeros.map((zero) => zero + 1);
  const lists = starts.map((start, index) => entries.slice(start, zeros[index + 1] ?? count));
  const whole = trailer.length % 4 === 0 && zeros[0] === 0;
  const [first, second, third] = lists;
  if (whole && first && second && third && lists.length === 3) {
    return { words64: first, inverse32: second, words32: third };
  }
  if (whole && first && second && lists.length === 2)
    return { words64: first, inverse32: none, words32: second };
  throw new SaveoopsError('format', 'the relocation lists of the kernel are not understood', {
    where: `${source}, ${trailer.length} bytes behind the ELF file`,
    found: `${lists.length} lists, first entry ${entries[0] ?? 'missing'}`,
    wanted: 'two or three lists of u32, each led by a zero',
    hint: 'the kernel may be newer than this version of Saveoops',
  });
}
