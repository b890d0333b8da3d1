/**
 * A naive model of how a kernel comes to its memory map, as oracle for stubs/entry: for each page of a small machine the
 * set of types that something says of it. Where they overlap the highest wins (arch/x86/kernel/e820.c).
 */

export const page = 4096;
export const types = { ram: 1, reserved: 2, acpi: 3, nvs: 4, unusable: 5, pram: 12 } as const;

/** Start and end, bytes, multiples of a page. */
export type Range = readonly [number, number];

/** What a word of the command line does to the map. `from` undefined: any type; `to` undefined: nothing is there. */
export type Operation =
  | { readonly kind: 'clear' }
  | { readonly kind: 'add'; readonly range: Range; readonly type: number }
  | {
      readonly kind: 'change';
      readonly range: Range;
      readonly from: number | undefined;
      readonly to: number | undefined;
    };

export class PageMap {
  private readonly sets: Uint16Array;

  constructor(readonly pages: number) {
    this.sets = new Uint16Array(pages);
  }

  copy(): PageMap {
    const other = new PageMap(this.pages);
    other.sets.set(this.sets);
    return other;
  }

  apply(operation: Operation): void {
    if (operation.kind === 'clear') {
      this.sets.fill(0);
      return;
    }
    const [start, end] = operation.range;
    for (let at = start / page; at < Math.min(end / page, this.pages); at++) {
      const set = this.sets[at] ?? 0;
      if (operation.kind === 'add') {
        this.sets[at] = set | (1 << operation.type);
        continue;
      }
      const { from, to } = operation;
      const gone = from === undefined ? set : set & (1 << from);
      if (gone !== 0) this.sets[at] = (set & ~gone) | (to === undefined ? 0 : 1 << to);
    }
  }

  /** Of each page only the highest type stays. */
  settle(): void {
    for (let at = 0; at < this.pages; at++) {
      const set = this.sets[at] ?? 0;
      this.sets[at] = set === 0 ? 0 : 1 << (31 - Math.clz32(set));
    }
  }

  /** The highest type of each page; 0: there is nothing. */
  types(): Uint8Array {
    const all = new Uint8Array(this.pages);
    for (let at = 0; at < this.pages; at++) {
      const set = this.sets[at] ?? 0;
      all[at] = set === 0 ? 0 : 31 - Math.clz32(set);
    }
    return all;
  }
}

/** A variable MTRR: address matches when (address & mask) = (base & mask). Intel SDM vol. 3, 12.11.3. */
export interface Mtrr {
  readonly base: bigint;
  readonly mask: bigint;
  readonly type: number;
  readonly valid: boolean;
}

const writeBack = 6;

/** Whether each MiB is write-back: 12.11.4.1. Registers by which nothing is say nothing, as the kernel has it. */
export function writeBackMegabytes(
  megabytes: number,
  mtrrs: readonly Mtrr[],
  byDefault: number,
  enabled: boolean,
): boolean[] {
  const used = mtrrs.filter(({ valid }) => valid);
  if (!enabled || (byDefault !== writeBack && !used.some(({ type }) => type === writeBack)))
    return Array.from({ length: megabytes }, () => true);
  return Array.from({ length: megabytes }, (_, at) => {
    const address = BigInt(at) << 20n;
    const matching = used.filter(({ base, mask }) => (address & mask) === (base & mask));
    return matching.length === 0 ? byDefault === writeBack : matching.every(({ type }) => type === writeBack);
  });
}
