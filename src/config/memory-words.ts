/** Words of a kernel command line by which a kernel has another memory map than firmware gives. */

/**
 * The first word in `line` that leaves the kernel unarmed, as the entry stub finds at boot (E12, docs/messages.md): with it the
 * crash region would be RAM like any other, or nothing. Undefined: there is none.
 * A heuristic: a list of ranges may do the same, which only the machine's map tells.
 */
export function unarmingMemoryWord(line: string): string | undefined {
  return line
    .split(' ')
    .find((word) =>
      /^"?memmap=("?|.*,)(exactmap|[0-9a-z]+%[0-9a-z]+(-2|-0x2|-02)?(\+[0-9a-z]+)?(,|"|$))/i.test(word),
    );
}
